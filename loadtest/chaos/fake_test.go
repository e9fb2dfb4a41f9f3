package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lxzan/gws"
)

// fake is a small push server that speaks Peal's words, but for peal.v1, with a memory log that
// keeps the newest messages of each channel. Before it tells a client something
// it may lie.
type fake struct {
	addr string
	keep int                                     // messages of each channel
	lie  func(told *telling, lives, sent uint64) // nil: never. Called with the lock held

	mu    sync.Mutex
	epoch uint64 // counts lives
	log   []entry
	keys  map[string]uint64 // sequences by idempotency key
	sent  uint64            // messages told in all lives
	news  chan struct{}     // closed when something was published
	lost  uint64            // entries up to there are gone, and clients before it have a gap
	web   *http.Server
	conns map[net.Conn]bool // WebSockets
	wait  sync.WaitGroup
}

// entry i of the log has sequence i+1.
type entry struct {
	channel, data string
	sequence      uint64
}

// telling is what one client receives at once.
type telling struct {
	gaps     []gapNotice
	messages []entry
	upto     uint64
	hangUp   bool // and not told at all
}

func (f *fake) Start(context.Context) error {
	listener, err := net.Listen("tcp4", f.addr)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.epoch++
	f.log, f.news, f.conns, f.keys = nil, make(chan struct{}), map[net.Conn]bool{}, map[string]uint64{}
	f.mu.Unlock()
	f.web = &http.Server{Handler: f.routes()}
	f.wait.Go(func() { _ = f.web.Serve(listener) }) // ErrServerClosed
	return nil
}

func (f *fake) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /publish", f.publish)
	mux.HandleFunc("GET /poll", f.poll)
	mux.HandleFunc("GET /sse", f.sse)
	mux.HandleFunc("GET /ws", f.ws)
	return mux
}

func (f *fake) Stop(bool) error {
	err := f.web.Close()
	f.mu.Lock()
	for c := range f.conns {
		_ = c.Close()
	}
	close(f.news)
	f.news = nil
	f.mu.Unlock()
	f.wait.Wait()
	return err
}

// cursorLocked is a cursor of the server's present life.
func (f *fake) cursorLocked(sequence uint64) string { return cursorOf(f.epoch, sequence) }

func cursorOf(epoch, sequence uint64) string { return fmt.Sprintf("fake%d-%d", epoch, sequence) }

func (f *fake) publish(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.news == nil {
		return
	}
	key := r.Header.Get("Idempotency-Key")
	if before := f.keys[key]; before > 0 {
		fmt.Fprintf(w, `{"cursor":%q}`, f.cursorLocked(before))
		return
	}
	f.keys[key] = uint64(len(f.log) + 1)
	f.log = append(f.log, entry{r.URL.Query().Get("channel"), string(data), uint64(len(f.log) + 1)})
	close(f.news)
	f.news = make(chan struct{})
	fmt.Fprintf(w, `{"cursor":%q}`, f.cursorLocked(uint64(len(f.log))))
}

// follower is one subscription.
type follower struct {
	*fake
	life     uint64 // epoch in which it began, and with which it ends
	channels []string
	at       uint64
	foreign  bool
}

func (f *fake) follower(r *http.Request) *follower {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := r.URL.Query()
	s := &follower{fake: f, life: f.epoch, channels: q["channel"], at: uint64(len(f.log))}
	if c := q.Get("cursor"); c != "" {
		digits, ours := strings.CutPrefix(c, strings.TrimSuffix(f.cursorLocked(0), "0"))
		n, err := strconv.ParseUint(digits, 10, 64)
		if s.at = n; !ours || err != nil || n > uint64(len(f.log)) {
			s.at, s.foreign = 0, c != "earliest"
		}
	}
	return s
}

// cursor is one of the life in which s began.
func (s *follower) cursor(sequence uint64) string { return cursorOf(s.life, sequence) }

// next waits for something to tell. most bounds the messages; ok is false when
// the time is up or the server ends.
func (s *follower) next(ctx context.Context, most int, timeout time.Duration) (t telling, ok bool) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		s.mu.Lock()
		news := s.news
		if news == nil || s.epoch != s.life {
			s.mu.Unlock()
			return t, false
		}
		t = s.collectLocked(most)
		if len(t.messages)+len(t.gaps) > 0 {
			s.sent += uint64(len(t.messages))
			if s.lie != nil {
				s.lie(&t, s.epoch, s.sent)
			}
			if t.hangUp {
				s.mu.Unlock()
				return t, false
			}
			s.at = t.upto
			s.mu.Unlock()
			return t, true
		}
		s.at = t.upto
		s.mu.Unlock()
		select {
		case <-news:
		case <-timer.C:
			return t, true
		case <-ctx.Done():
			return t, false
		}
	}
}

func (s *follower) collectLocked(most int) (t telling) {
	dropped := map[string]uint64{}
	for _, c := range s.channels {
		kept := 0
		for _, e := range slices.Backward(s.log) {
			if e.channel != c {
				continue
			}
			if kept++; kept > s.keep {
				dropped[c] = e.sequence
				break
			}
		}
		dropped[c] = max(dropped[c], s.lost)
		switch to := dropped[c]; {
		case s.foreign:
			t.gaps = append(t.gaps, gapNotice{Channel: c, To: s.cursor(to), Reason: "unknown_cursor"})
		case to > s.at:
			t.gaps = append(t.gaps, gapNotice{Channel: c, To: s.cursor(to), Reason: "discarded"})
		}
	}
	s.foreign = false
	for t.upto = s.at; t.upto < uint64(len(s.log)) && len(t.messages) < most; t.upto++ {
		e := s.log[t.upto]
		if slices.Contains(s.channels, e.channel) && e.sequence > dropped[e.channel] {
			t.messages = append(t.messages, e)
		}
	}
	return t
}

func (s *follower) object(e entry) string {
	b, _ := json.Marshal(map[string]string{"channel": e.channel, "cursor": s.cursor(e.sequence), "data": e.data}) // strings
	return string(b)
}

func (f *fake) poll(w http.ResponseWriter, r *http.Request) {
	s := f.follower(r)
	raw, most := r.URL.Query().Get("format") == "raw", 100
	if raw {
		most = 1
	}
	t, ok := s.next(r.Context(), most, 5*time.Second)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	gaps, _ := json.Marshal(t.gaps) // strings
	if raw {
		w.Header().Set("Peal-Cursor", s.cursor(t.upto))
		if len(t.gaps) > 0 {
			w.Header().Set("Peal-Gap", string(gaps))
		}
		if len(t.messages) == 0 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_, _ = io.WriteString(w, t.messages[0].data) // a client that is gone
		return
	}
	var objects []string
	for _, e := range t.messages {
		objects = append(objects, s.object(e))
	}
	fmt.Fprintf(w, `{"cursor":%q,"gap":%s,"messages":[%s]}`, s.cursor(t.upto), gaps, strings.Join(objects, ","))
}

func (f *fake) sse(w http.ResponseWriter, r *http.Request) {
	s := f.follower(r)
	asJSON := r.URL.Query().Get("format") == "json"
	if !s.foreign {
		fmt.Fprintf(w, "retry: 1\nid: %s\n\n", s.cursor(s.at))
		w.(http.Flusher).Flush()
	}
	for {
		t, ok := s.next(r.Context(), 100, time.Hour)
		if !ok {
			return
		}
		for _, g := range t.gaps {
			b, _ := json.Marshal(g) // strings
			fmt.Fprintf(w, "event: gap\ndata: %s\n\n", b)
		}
		for _, e := range t.messages {
			data := e.data
			if asJSON {
				data = s.object(e)
			}
			fmt.Fprintf(w, "id: %s\ndata: %s\n\n", s.cursor(e.sequence), strings.ReplaceAll(data, "\n", "\ndata: "))
		}
		w.(http.Flusher).Flush()
	}
}

func (f *fake) ws(w http.ResponseWriter, r *http.Request) {
	s := f.follower(r)
	c, err := gws.NewUpgrader(&gws.BuiltinEventHandler{}, nil).Upgrade(w, r)
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.news == nil || f.epoch != s.life { // stopped meanwhile: nobody waits for what would begin now
		cancel()
		_ = c.NetConn().Close()
		return
	}
	f.conns[c.NetConn()] = true
	f.wait.Go(func() { c.ReadLoop(); cancel() })
	f.wait.Go(func() {
		defer c.NetConn().Close()
		for {
			t, ok := s.next(ctx, 100, time.Hour)
			if !ok {
				return
			}
			if len(t.gaps) > 0 {
				b, _ := json.Marshal(map[string]any{"gap": t.gaps}) // strings
				_ = c.WriteMessage(gws.OpcodeText, b)               // a client that is gone
			}
			for _, e := range t.messages {
				_ = c.WriteMessage(gws.OpcodeText, []byte(s.object(e)))
			}
		}
	})
}

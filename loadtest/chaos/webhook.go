package chaos

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Webhooks are the receivers of a server that sends each publication to all of them: its webhook i has the
// URL http://Addr/i. They respond with errors, hang, break connections, and are killed together.
type Webhooks struct {
	Addr   string                    // 127.0.0.1:port
	Count  int                       // of receivers
	Secret string                    // of Standard Webhooks, as the server has it
	Kick   func(ctx context.Context) // has the server try again now what waits; nil: none

	run    *run
	calm   chan struct{} // closed when all requests shall be taken
	mu     sync.Mutex
	rnd    *rand.Rand
	boxes  []box
	server *http.Server
	kills  int
}

// box is what came to one receiver, in its order.
type box struct {
	requests []delivery
	taken    int // requests that were answered with 200
}

// delivery is one request.
type delivery struct {
	id, body string
	forged   bool // the signature is wrong
}

// How receivers fail.
const (
	failInPercent = 30
	receiverLife  = 2 * time.Second        // on average, before all are killed
	receiverPause = 700 * time.Millisecond // until they are back, at most
	kickEvery     = time.Second            // while they are calm
	finishEvery   = 200 * time.Millisecond // between two looks whether they have everything
)

// start listens.
func (h *Webhooks) start(r *run) error {
	h.run, h.rnd, h.calm = r, rand.New(rand.NewPCG(r.Seed, 1<<34)), make(chan struct{})
	h.boxes = make([]box, h.Count)
	return h.listen()
}

func (h *Webhooks) listen() error {
	l, err := net.Listen("tcp4", h.Addr)
	if err != nil {
		return fmt.Errorf("receive webhooks: %w", err)
	}
	h.server = &http.Server{Handler: h}
	go func(s *http.Server) { _ = s.Serve(l) }(h.server) // ErrServerClosed
	return nil
}

// live ends and starts the receivers until ctx ends; then they listen.
func (h *Webhooks) live(ctx context.Context) error {
	rnd := rand.New(rand.NewPCG(h.run.Seed, 1<<34+1))
	for {
		pause(ctx, time.Duration((0.5+rnd.Float64())*float64(receiverLife)))
		if ctx.Err() != nil {
			return nil
		}
		_ = h.server.Close() // with its connections, as a process that is killed
		h.kills++
		pause(ctx, time.Duration(rnd.Int64N(int64(receiverPause))))
		if err := h.listen(); err != nil {
			return err
		}
	}
}

// ServeHTTP receives one request.
func (h *Webhooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	body, read := io.ReadAll(r.Body)
	if err != nil || i < 0 || i >= h.Count || read != nil {
		http.Error(w, "not here", http.StatusNotFound)
		return
	}
	d := delivery{id: r.Header.Get("Webhook-Id"), body: string(body)}
	d.forged = !h.isSigned(r.Header, d)
	h.mu.Lock()
	b := &h.boxes[i]
	b.requests = append(b.requests, d)
	fails, how := h.rnd.IntN(100) < failInPercent && !isClosed(h.calm), h.rnd.IntN(4)
	if !fails {
		b.taken++
	}
	h.mu.Unlock()
	switch {
	case !fails:
	case how == 0:
		w.WriteHeader(http.StatusInternalServerError)
	case how == 1:
		w.WriteHeader(http.StatusGone)
	case how == 2:
		select {
		case <-r.Context().Done(): // the server has given up, or was killed
		case <-h.calm:
		}
	default:
		panic(http.ErrAbortHandler) // ends the connection
	}
}

// isSigned checks the signature of Standard Webhooks.
func (h *Webhooks) isSigned(header http.Header, d delivery) bool {
	mac := hmac.New(sha256.New, []byte(h.Secret))
	fmt.Fprintf(mac, "%s.%s.%s", d.id, header.Get("Webhook-Timestamp"), d.body)
	return header.Get("Webhook-Signature") == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// begun waits until each receiver gets what is published: what comes later is owed to all of them. It returns
// the id of the first publication that is.
func (h *Webhooks) begun(ctx context.Context) (first uint64, err error) {
	for end := time.Now().Add(startWait); ; pause(ctx, publisherPauses) {
		if _, err := h.run.announce(ctx); err != nil {
			return 0, err
		}
		h.mu.Lock()
		all := true
		for i := range h.boxes {
			all = all && len(h.boxes[i].requests) > 0
		}
		h.mu.Unlock()
		switch {
		case all:
			return h.run.ledger.next(), nil
		case time.Now().After(end):
			return 0, fmt.Errorf("a webhook has sent nothing in %v", startWait)
		}
	}
}

// finish has the receivers take everything, and waits until each has the last messages.
func (h *Webhooks) finish(ctx context.Context, last map[int32]uint64, limit time.Duration) {
	close(h.calm)
	var kicked time.Time
	for end := time.Now().Add(limit); ctx.Err() == nil && time.Now().Before(end); pause(ctx, finishEvery) {
		done := true
		h.mu.Lock()
		for i := range h.boxes {
			done = done && h.boxes[i].has(last)
		}
		h.mu.Unlock()
		if done {
			return
		}
		if h.Kick != nil && time.Since(kicked) > kickEvery {
			h.Kick(ctx)
			kicked = time.Now()
		}
	}
}

// has reports whether the last messages of all channels are in the newest requests.
func (b *box) has(last map[int32]uint64) bool {
	found := map[int32]bool{}
	for i := len(b.requests) - 1; i >= 0 && len(found) < len(last); i-- {
		events, err := b.requests[i].events()
		if err != nil {
			continue
		}
		for _, e := range events {
			if l, ok := parseData([]byte(e.Data)); ok && last[l.channel] == l.id {
				found[l.channel] = true
			}
		}
		if len(b.requests)-i > 200 {
			break
		}
	}
	return len(found) == len(last)
}

// hooked are the receivers in a run, nil for none.
type hooked struct {
	*run
	first uint64 // publication that is owed to all receivers
	end   context.CancelFunc
	ended chan error
}

// hook starts the receivers and their faults.
func (r *run) hook(ctx context.Context) (*hooked, error) {
	if r.Webhooks == nil {
		return nil, nil
	}
	k := &hooked{run: r, ended: make(chan error, 1)}
	var err error
	if k.first, err = r.Webhooks.begun(ctx); err != nil {
		return nil, errors.Join(err, r.Webhooks.server.Close())
	}
	ctx, k.end = context.WithCancel(ctx)
	go func() { k.ended <- r.Webhooks.live(ctx) }() // ends with stop
	return k, nil
}

// stop ends the faults of the receivers.
func (k *hooked) stop() error {
	if k == nil {
		return nil
	}
	k.end()
	return <-k.ended
}

func (k *hooked) finish(ctx context.Context) {
	if k != nil {
		k.Webhooks.finish(ctx, k.last, k.CatchUp)
	}
}

// judge adds what is wrong to a report. No request comes any more.
func (k *hooked) judge(report *Report) {
	if k == nil {
		return
	}
	_ = k.Webhooks.server.Close()
	k.Webhooks.mu.Lock()
	defer k.Webhooks.mu.Unlock()
	report.Webhooks = k.Webhooks.judge(k.first, k.ledger.all, &k.lives, k.Nodes != nil)
	report.Findings = append(report.Findings, report.Webhooks.findings...)
}

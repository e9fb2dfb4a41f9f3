package scenario

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/loadtest"
	"peal/loadtest/report"
)

// moodEnv makes the test binary a small server, see serveMoody. memoryEnv names the
// file of a fair one.
const (
	moodEnv   = "TEST_MOOD"
	memoryEnv = "TEST_MOOD_FILE"
)

// serveMoody serves event streams at /sse and takes messages at /publish. What it
// is in the mood for: "fair", whose memory is a file; "forgetful", which acknowledges each tenth message
// and throws it away, and refuses as many; "amnesic", which has nothing for who
// comes back; "mortal", which ends at its 20th
// message; "dead", which ends with a word.
func serveMoody(addr, mood string) {
	if mood == "dead" {
		log.Fatal("out of order")
	}
	v := &moody{mood: mood, life: strconv.Itoa(os.Getpid()), streams: map[http.ResponseWriter]bool{}}
	if mood == "fair" {
		var err error
		if v.file, err = os.OpenFile(os.Getenv(memoryEnv), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
			log.Fatal(err)
		}
		all, err := io.ReadAll(v.file)
		if err != nil {
			log.Fatal(err)
		}
		v.life, v.kept = "all", strings.Fields(string(all)) // no message has spaces
	}
	http.HandleFunc("GET /sse", v.stream)
	http.HandleFunc("POST /publish", v.publish)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		log.Fatal(err)
	}
	go v.passOn(l)
	_ = http.Serve(l, nil)
	select {} // it is passing on
}

// moody is one life of the server. Its memory ends with it, but the fair one's: who
// comes back from an earlier life has all of this one.
type moody struct {
	mood, life string
	file       *os.File // nil: none

	mu      sync.Mutex
	kept    []string
	streams map[http.ResponseWriter]bool
}

func (v *moody) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	v.mu.Lock()
	from := len(v.kept)
	if id := r.Header.Get("Last-Event-ID"); id != "" && v.mood != "amnesic" {
		life, n, _ := strings.Cut(id, "-")
		if from, _ = strconv.Atoi(n); life != v.life {
			from = 0
		}
	}
	for i := from; i < len(v.kept); i++ {
		v.send(w, i)
	}
	_ = http.NewResponseController(w).Flush()
	v.streams[w] = true
	v.mu.Unlock()
	<-r.Context().Done()
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.streams, w)
}

// send is done before the acknowledgement, so what is in flight when the server
// is killed is the kernel's already.
func (v *moody) send(w http.ResponseWriter, i int) {
	fmt.Fprintf(w, "id: %s-%d\ndata: %s\n\n", v.life, i+1, v.kept[i])
	_ = http.NewResponseController(w).Flush()
}

func (v *moody) publish(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // a cut body ends the connection anyway
	stamp, _ := loadtest.ParseStamp(body)
	if v.mood == "forgetful" {
		switch stamp.Sequence % 10 {
		case 0:
			return
		case 5:
			http.Error(w, "not this one", http.StatusServiceUnavailable)
			return
		}
	}
	if v.mood == "mortal" && stamp.Sequence == 20 {
		log.Fatal("that was too much")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.kept = append(v.kept, string(body))
	if v.file != nil {
		if _, err := fmt.Fprintln(v.file, string(body)); err != nil {
			log.Fatal(err)
		}
	}
	for stream := range v.streams {
		v.send(stream, len(v.kept)-1)
	}
}

// startMoody is the command that starts one.
func startMoody(t *testing.T, mood, addr string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("env %s=%s %s='%s' '%s' %s", moodEnv, mood, memoryEnv, filepath.Join(t.TempDir(), "kept"), self, addr)
}

func restartSettings(t *testing.T, mood string) Settings {
	s := Defaults()
	s.Start = []string{startMoody(t, mood, "127.0.0.1:{port}")}
	s.Targets = []string{"sse+http://127.0.0.1:{port}?channel=a"}
	s.Connections, s.Rate, s.Duration, s.Settle, s.Every, s.Idle = 5, 200, 1500*time.Millisecond, time.Second, 100*time.Millisecond, 0
	s.Limits = report.Limits{Lag: 1e9, CPU: 1e9}
	return s
}

// TestRestartCountsWhatWasAcknowledgedAndNeverCame: only what the server threw
// away is lost, not what it refused.
func TestRestartCountsWhatWasAcknowledgedAndNeverCame(t *testing.T) {
	settings := restartSettings(t, "forgetful")
	r, err := Run(t.Context(), "restart", settings)
	const back = 10                                                                                                  // each of 5 clients twice
	for err == nil && (!r.Validity.Valid || r.Restart.Recovery.Count < back) && settings.Duration < 20*time.Second { // a busy machine left the clients no time to come back
		settings = restartSettings(t, "forgetful")
		settings.Duration = 2 * time.Duration(r.Settings.Duration*float64(time.Second))
		r, err = Run(t.Context(), "restart", settings)
	}
	if err != nil {
		t.Fatal(err)
	}
	m, v := r.Messages, r.Restart
	thrownAway := m.Sent / 10
	failed := v.Refused + v.Unanswered - thrownAway // besides each tenth, which the server refuses: while it is away
	if v.Lost > 5*thrownAway || v.Lost+5*failed < 5*thrownAway || v.Refused+v.Unanswered < thrownAway || v.Lost != m.Lost || m.Expected != m.Delivered+m.Lost {
		t.Errorf("%d lost; want 5 of each of %d thrown away, except those that failed (%d); %+v", v.Lost, thrownAway, failed, m)
	}
	if len(v.Ends) != 2 || !v.Ends[0].Asked || v.Ends[0].Killed || v.Ends[1].Asked || !v.Ends[1].Killed || v.Ends[0].At < r.Settings.Duration/3 || v.Ends[1].At < r.Settings.Duration*2/3 {
		t.Errorf("ends %+v; want one after a third of the run, asked, and one after two, killed", v.Ends)
	}
	if v.Recovery.Count != back || r.Connections.Closed != back || v.Gaps != 0 || v.Refused+v.Unanswered != m.Refused {
		t.Errorf("%d recoveries, %d connections closed by the server, %+v; want each of 5 clients twice", v.Recovery.Count, r.Connections.Closed, v)
	}
	if r.Server == nil || r.Server.CPU <= 0 || r.Server.PID == 0 {
		t.Errorf("server: %+v; want the CPU of all three lives", r.Server)
	}
}

func TestVersusRestartsWhatItStarted(t *testing.T) {
	versus := func(d time.Duration) (*report.Report, error) {
		s := restartSettings(t, "fair")
		s.Start = append(s.Start, startMoody(t, "amnesic", "127.0.0.1:{port}"))
		s.Targets = append(s.Targets, s.Targets[0])
		s.Duration, s.Turns, s.Away = d, 1, 50*time.Millisecond
		return Run(t.Context(), "versus", s)
	}
	d := 600 * time.Millisecond
	r, err := versus(d)
	for err == nil && !r.Validity.Valid && d < 5*time.Second { // see above
		t.Log(r.Validity.Reasons)
		d *= 2
		r, err = versus(d)
	}
	if err != nil {
		t.Fatal(err)
	}
	fair, amnesic := r.Sides[0], r.Sides[1]
	if fair.Messages.Lost != 0 || fair.Storm == nil || fair.Storm.Lost != 0 || fair.Restart == nil || len(fair.Restart.Ends) != 2 || fair.Restart.Lost != 0 {
		t.Errorf("the fair one: %+v, storm %+v, restart %+v", fair.Messages, fair.Storm, fair.Restart)
	}
	if amnesic.Storm == nil || amnesic.Storm.Lost == 0 || amnesic.Storm.Back != 5 || amnesic.Restart == nil || len(amnesic.Restart.Ends) != 2 {
		t.Errorf("the amnesic one: storm %+v, restart %+v; want all back, and something lost in the storm", amnesic.Storm, amnesic.Restart)
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"bytes per connection", "p99", "lost in the storm", "lost in the restarts"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the page has no %q:\n%s", want, text.String())
		}
	}
}

func TestServerThatDoesNotStart(t *testing.T) {
	for _, c := range []struct{ command, says string }{
		{startMoody(t, "dead", "127.0.0.1:{port}"), "out of order"},
		{"/no/such/program {port}", "no"},
	} {
		s := restartSettings(t, "fair")
		s.Start = []string{c.command}
		if _, err := Run(t.Context(), "fanout", s); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.command, err, c.says)
		}
	}
}

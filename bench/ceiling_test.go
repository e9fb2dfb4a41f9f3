package bench

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"peal/loadtest"
	"peal/loadtest/child"
)

// startCeiling builds and starts one, and skips where there is no compiler.
func startCeiling(t *testing.T) *Server {
	t.Helper()
	launcher, err := BuildCeiling(t.Context(), t.TempDir())
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("no gcc to build the ceiling with")
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := launcher.Launch(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Alive(), s.Stop()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestCeilingReachesEveryoneOnceInOrder(t *testing.T) {
	s := startCeiling(t)
	for _, kind := range []loadtest.Kind{loadtest.GWS, loadtest.Epoll} {
		for _, load := range []loadtest.Load{
			{InFlight: 1, Length: 300 * time.Millisecond, Size: 128},
			{InFlight: 16, Length: 300 * time.Millisecond, Size: 3000},
			{Pacer: loadtest.Rate(200), Length: 300 * time.Millisecond, Size: 128},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			spec := loadtest.Spec{Addr: s.Addr, Kind: kind, Connections: 200}
			s.Subscribe(&spec)
			err := withPool(ctx, spec, func(pool *loadtest.Pool) error {
				publisher, err := loadtest.DialWS(ctx, s.Addr, 1, s.PublishWS)
				if err != nil {
					return err
				}
				defer publisher.Close()
				r, err := clean(loadtest.Run(ctx, pool, publisher, load))
				if r.Delivered != 200*r.Published {
					t.Errorf("%s %+v: %d published, %d delivered to 200", kind, load, r.Published, r.Delivered)
				}
				return err
			})
			cancel()
			if err != nil {
				t.Errorf("%s %+v: %v", kind, load, err)
			}
		}
	}
}

// echoes collects what a gws client receives.
type echoes struct {
	gws.BuiltinEventHandler
	messages chan string // opcode and payload
	pongs    chan string
}

func (e *echoes) OnMessage(_ *gws.Conn, m *gws.Message) {
	e.messages <- string(rune('0'+m.Opcode)) + m.Data.String()
	_ = m.Close()
}
func (e *echoes) OnPong(_ *gws.Conn, payload []byte) { e.pongs <- string(payload) }

func TestCeilingKeepsOpcodeAndPayload(t *testing.T) {
	s := startCeiling(t)
	e := &echoes{messages: make(chan string, 10), pongs: make(chan string, 10)}
	conn, _, err := gws.NewClient(e, &gws.ClientOption{Addr: "ws://" + s.Addr + "/any"})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { conn.ReadLoop(); close(ended) }()
	defer func() { _ = conn.NetConn().Close(); <-ended }()
	receive := func(from chan string) string {
		t.Helper()
		select {
		case m := <-from:
			return m
		case <-time.After(5 * time.Second):
			t.Fatal("nothing came")
			return ""
		}
	}
	for _, size := range []int{0, 1, 125, 126, 40_000, 65_535} {
		payload := bytes.Repeat([]byte("x"), size)
		for _, opcode := range []gws.Opcode{gws.OpcodeText, gws.OpcodeBinary} {
			if err := conn.WriteMessage(opcode, payload); err != nil {
				t.Fatal(err)
			}
			if got := receive(e.messages); got != string(rune('0'+opcode))+string(payload) {
				t.Errorf("opcode %d, %d bytes: came back as %d bytes %.5q", opcode, size, len(got)-1, got)
			}
		}
	}
	if err := conn.WritePing([]byte("p")); err != nil {
		t.Fatal(err)
	}
	if got := receive(e.pongs); got != "p" {
		t.Errorf("pong %q", got)
	}
}

func TestCeilingDoesNotWaitForAStalledReceiver(t *testing.T) {
	s := startCeiling(t)
	r, err := fanout{server: running{s}, subscribers: 20, stalled: 1,
		load: loadtest.Load{InFlight: 16, Length: 500 * time.Millisecond, Size: 60_000}}.run(t.Context())
	if err != nil || r.Delivered == 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// running is a launcher of a server that runs already and goes on after Stop.
type running struct{ s *Server }

func (r running) Name() string { return r.s.Name }
func (r running) Launch(ctx context.Context, _ int) (*Server, error) {
	c := *r.s
	c.program = &child.Program{Name: "sleep", Args: []string{"sleep", "100"}} // Stop ends this in its place
	if err := c.program.Start(ctx); err != nil {
		return nil, err
	}
	return &c, nil
}

func TestLaunchTellsWhyAServerDoesNotStart(t *testing.T) {
	c := &Command{Label: "bad", Args: []string{"sh", "-c", "echo no such thing >&2; exit 3"}}
	_, err := c.Launch(t.Context(), 1)
	if err == nil || !strings.Contains(err.Error(), "no such thing") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("%v", err)
	}
	c = &Command{Label: "silent", Args: []string{"sleep", "100"}, Wait: 100 * time.Millisecond}
	if _, err = c.Launch(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "does not accept") {
		t.Errorf("%v", err)
	}
}

func TestExperimentTakesPairsInTurns(t *testing.T) {
	var order []byte
	side := func(name byte, v float64) Side {
		return func(context.Context) (Sample, error) {
			order = append(order, name)
			return Sample{v + float64(len(order))}, nil
		}
	}
	e := Experiment{Key: "k", Rows: []Row{{What: "w", Target: Target{Of: Difference, AtMost: true, Limit: 100}}}, A: side('a', 100), B: side('b', 0)}
	o := e.Run(t.Context(), 4, io.Discard)
	if string(order) != "abbaabba" {
		t.Errorf("order %s", order)
	}
	if got := o[0].Judged(); !slices.Equal(got, []float64{99, 101, 99, 101}) || o[0].Verdict() != "met" {
		t.Errorf("%v, %s", got, o[0].Verdict())
	}
	e.A = func(context.Context) (Sample, error) { return nil, errors.New("broken") }
	if o = e.Run(t.Context(), 4, io.Discard); o[0].Err == nil || o[0].Verdict() == "met" {
		t.Errorf("%+v, %s", o[0], o[0].Verdict())
	}
}

func TestVerdict(t *testing.T) {
	check := func(want string, target Target, a, b []float64) {
		t.Helper()
		o := Outcome{Row: Row{Target: target}, A: a, B: b}
		if got := o.Verdict(); got != want {
			t.Errorf("%+v of %v and %v: %q, want %q", target, a, b, got, want)
		}
	}
	check("met", Target{Of: Ratio, Limit: 0.97}, []float64{96, 97, 99}, []float64{100, 100, 100})
	check("missed", Target{Of: Ratio, Limit: 0.97}, []float64{96, 96, 99}, []float64{100, 100, 100})
	check("met", Target{Of: Value, AtMost: true, Limit: 640}, []float64{900, 640, 100}, nil)
	check("missed", Target{Of: Value, AtMost: true, Limit: 640}, []float64{700, 640}, nil)
	check("", Target{}, []float64{1}, nil)
	check("not measured", Target{Of: Value, Limit: 1}, nil, nil)
}

func TestWriteTable(t *testing.T) {
	var b strings.Builder
	err := WriteTable(&b, []Outcome{
		{Row: Row{What: "deliveries", Unit: "1/s", Target: Target{Of: Ratio, Limit: 0.97}}, A: []float64{240_000, 250_000}, B: []float64{250_000, 250_000}},
		{Row: Row{What: "idle", Unit: "bytes", Target: Target{Of: Value, AtMost: true, Limit: 640}}, A: []float64{120.4}},
		{Row: Row{What: "broken"}, Key: "b", Err: errors.New("because")},
	})
	for _, want := range []string{"245 k 1/s [240 k–250 k]", "× 0.98 [0.96–1.00]", "≥ × 0.97", "met", "120 bytes", "≤ 640 bytes", "broken: because"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if err != nil {
		t.Error(err)
	}
}

func TestParseMetric(t *testing.T) {
	text := "# HELP loops x\nloops{loop=\"0\"} 10\nloops{loop=\"1\"} 1.2e1 1234\nloops_other 7\nplain 3\n"
	if v, err := parseMetric(strings.NewReader(text), "loops"); err != nil || !slices.Equal(v, []float64{10, 12}) {
		t.Errorf("%v, %v", v, err)
	}
	if v, err := parseMetric(strings.NewReader(text), "plain"); err != nil || !slices.Equal(v, []float64{3}) {
		t.Errorf("%v, %v", v, err)
	}
	if _, err := parseMetric(strings.NewReader(text), "none"); err == nil {
		t.Error("a metric that is not there was found")
	}
}

func TestBareSendIsPlausible(t *testing.T) {
	cost, err := BareSend()
	if err != nil {
		t.Fatal(err)
	}
	if cost < 500*time.Nanosecond || cost > 500*time.Microsecond {
		t.Errorf("a send costs %v", cost)
	}
}

package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"peal/bench/record"
	"peal/loadtest"
)

// mustBuild builds a ceiling, and skips where there is no compiler.
func mustBuild(t *testing.T, build func(context.Context, string) (*Command, error)) *Command {
	t.Helper()
	launcher, err := build(t.Context(), t.TempDir())
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("no gcc to build the ceiling with")
	}
	if err != nil {
		t.Fatal(err)
	}
	return launcher
}

func startCeiling(t *testing.T) *Server {
	t.Helper()
	s, err := mustBuild(t, BuildCeiling).Launch(t.Context(), 1)
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
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			err := withPool(ctx, s, loadtest.Spec{Kind: kind, Connections: 200}, func(pool *loadtest.Pool) error {
				publisher, err := s.publisher(ctx, 1)
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

// Each channel has its own subscriber, and one publisher of them sends requests in two pieces.
func TestPublishingCeilingDeliversEachPublicationOnce(t *testing.T) {
	c := tiny()
	c.Channels, c.Publishers, c.Length = 200, 20, 300*time.Millisecond
	r, err := OnServer(t.Context(), mustBuild(t, BuildPublishing), 1, func(s *Server) (loadtest.Result, error) {
		conn, err := net.Dial("tcp", s.Addr)
		if err != nil {
			return loadtest.Result{}, err
		}
		defer conn.Close()
		request := loadtest.AppendRequest(nil, "POST", loadtest.PublishPath("c")(c.Channels), s.Addr, "", []byte("ab")) // nobody's channel
		for _, piece := range [][]byte{request[:20], request[20 : len(request)-1], append(request[len(request)-1:], request...)} {
			if _, err := conn.Write(piece); err != nil {
				return loadtest.Result{}, err
			}
		}
		answers := bufio.NewReader(conn)
		for range 2 {
			a, err := http.ReadResponse(answers, nil)
			if err != nil {
				return loadtest.Result{}, err
			}
			if body, err := io.ReadAll(a.Body); a.StatusCode != 200 || err != nil || !bytes.HasPrefix(body, []byte(`{"`)) {
				t.Errorf("status %d, %s, %v", a.StatusCode, body, err)
			}
		}
		return c.flood(t.Context(), s, c.Channels, 0, nil, nil)
	})
	if err != nil || r.Published < 200 || r.Delivered != r.Published {
		t.Errorf("%+v, %v", r, err)
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
		case <-time.After(time.Minute):
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
	ceiling := mustBuild(t, BuildCeiling)
	r, err := fanout{subscribers: 20, stalled: 1,
		load: loadtest.Load{InFlight: 16, Length: 500 * time.Millisecond, Size: 60_000}}.run(t.Context(), ceiling, 1)
	if err != nil || r.Delivered == 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestLaunchReportsWhyAServerDoesNotStart(t *testing.T) {
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
	e := Experiment{Key: "k", Rows: []record.Row{{What: "w", Target: record.AtMost(record.Difference, 100)}}, A: side('a', 100), B: side('b', 0)}
	rows := e.Run(t.Context(), 4, io.Discard)
	if string(order) != "abbaabba" {
		t.Errorf("order %s", order)
	}
	if got := rows[0].Judged(); !slices.Equal(got, []float64{99, 101, 99, 101}) || rows[0].Verdict() != "met" || rows[0].Key != "k" {
		t.Errorf("%v, %s", got, rows[0].Verdict())
	}
	e.A = func(context.Context) (Sample, error) { return nil, errors.New("broken") }
	if rows = e.Run(t.Context(), 4, io.Discard); rows[0].Error != "broken" || rows[0].Verdict() == "met" || e.Rows[0].Error != "" {
		t.Errorf("%+v, %s", rows[0], rows[0].Verdict())
	}
}

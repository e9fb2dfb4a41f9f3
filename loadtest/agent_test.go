package loadtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"peal/loadtest/liar"
)

// startAgent serves an agent on this machine until the test ends.
func startAgent(t *testing.T, token string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- ServeAgent(ctx, l, token, func(f string, args ...any) { t.Logf(f, args...) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func TestAgentsReceiveAsWorkersDo(t *testing.T) {
	l := liar.Start(t, liar.Truth)
	spec := Spec{Endpoint: Endpoint{Addr: l.Addr}, Path: "/", Connections: 10, Agents: []string{startAgent(t, "t"), startAgent(t, "t")}, AgentToken: "t"}
	pool, opened, err := OpenPool(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	used, err := pool.Usage(t.Context())
	if err != nil || opened.Connections != 10 || len(pool.Clocks()) != 2 || len(used) != 2 || used[0].Agent != spec.Agents[0] || used[1].Agent != spec.Agents[1] || used[0].CPU <= 0 {
		t.Fatalf("%v, %+v, used %+v, clocks %+v; want 10 connections at two agents", err, opened, used, pool.Clocks())
	}
	publisher, err := DialPublisher(t.Context(), PublishTarget{Endpoint: Endpoint{Addr: l.Addr}, WebSocket: true, Path: func(int) string { return "/pub" }})
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	r, err := Run(t.Context(), pool, publisher, Load{Pacer: Rate(200), Length: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Clean() || r.Published == 0 || r.Delivered != 10*r.Published {
		t.Errorf("%d published, %+v", r.Published, r.Counts)
	}
	// They are on this machine, so the true offset is 0, but for what a process reads
	// its clock by.
	for i, w := range pool.workers {
		if off := max(w.clock.first, -w.clock.first); off > int64(w.clock.Uncertainty)+20_000 || w.clock.Uncertainty <= 0 {
			t.Errorf("worker %d: its clock is found to be %d ns off, within %v; it is not", i, off, w.clock.Uncertainty)
		}
	}
}

func TestAgentsThatCannotServe(t *testing.T) {
	foreign, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	go func() {
		for {
			c, err := foreign.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "220 mail.example.org ESMTP\r\n")
			_ = c.Close()
		}
	}()
	for _, c := range []struct{ addr, token, says string }{
		{startAgent(t, "right"), "wrong", "--agent-token-file"},
		{startAgent(t, "right"), "", "--agent-token-file"},
		{foreign.Addr().String(), "t", "does not greet"},
		{"127.0.0.1:1", "t", "agent 127.0.0.1:1"},
	} {
		_, _, err := OpenPool(t.Context(), Spec{Endpoint: Endpoint{Addr: "127.0.0.1:1"}, Connections: 1, Agents: []string{c.addr}, AgentToken: c.token})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.addr, err, c.says)
		}
		if c.token != "" && err != nil && (strings.Contains(err.Error(), `"wrong"`) || strings.Contains(err.Error(), "right")) {
			t.Errorf("the error has a token: %v", err)
		}
	}
}

// TestControllerChecksTheAgent: an agent that only repeats what it gets is refused.
func TestControllerChecksTheAgent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		in, out := bufio.NewReader(c), json.NewEncoder(c)
		_ = out.Encode(agentLine{Protocol: agentProtocol, Nonce: newNonce()})
		theirs, _ := readAgentLine(in)
		_ = out.Encode(theirs)
	}()
	if _, err := dialAgent(t.Context(), l.Addr().String(), "t"); err == nil || !strings.Contains(err.Error(), "does not know the token") {
		t.Errorf("%v, want that it does not know the token", err)
	}
}

func TestAnAgentThatDiesEndsTheRun(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error)
	go func() { ended <- ServeAgent(ctx, l, "t", func(string, ...any) {}) }()
	s := liar.Start(t, liar.Truth)
	pool, _, err := OpenPool(t.Context(), Spec{Endpoint: Endpoint{Addr: s.Addr}, Path: "/", Connections: 2, Agents: []string{l.Addr().String()}, AgentToken: "t"})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := pool.Sample(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "agent "+l.Addr().String()) {
		t.Errorf("%v, want the agent's name", err)
	}
}

// shiftedWorker answers clock commands by a clock that is ahead by shift, as a machine
// that was booted earlier has, and takes its time before some answers.
func shiftedWorker(t *testing.T, shift int64) *remote {
	in, commands := io.Pipe()
	answers, out := io.Pipe()
	r := &remote{name: "shifted", in: commands, out: answers, clock: &Clock{Agent: "shifted"}, answers: make(chan event, 1), commands: json.NewEncoder(commands)}
	go r.read(make(chan struct{}, 1))
	go func() {
		d, e := json.NewDecoder(in), json.NewEncoder(out)
		for i := 0; ; i++ {
			var c command
			if d.Decode(&c) != nil {
				_ = out.Close()
				return
			}
			now := ownNow() + shift
			if i%3 == 1 {
				time.Sleep(2 * time.Millisecond) // the way back is the longer one
			}
			_ = e.Encode(event{Op: "clock", Now: now})
		}
	}()
	t.Cleanup(func() { _ = commands.Close() })
	return r
}

func TestClocksOfOtherMachinesAreFound(t *testing.T) {
	for _, shift := range []int64{0, 3600e9, -123_456_789_012} {
		r := shiftedWorker(t, shift)
		if err := r.compare(t.Context()); err != nil {
			t.Fatal(err)
		}
		c := r.clock
		if off := c.first + shift; max(off, -off) > int64(c.Uncertainty) {
			t.Errorf("shift %d: found to be %d, which is off by %d and more than %v", shift, -c.first, off, c.Uncertainty)
		}
	}
}

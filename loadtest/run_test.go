package loadtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"peal/loadtest/liar"
)

// runAgainst opens a pool, runs load and returns the result.
func runAgainst(t *testing.T, spec Spec, load Load) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pool, opened, err := OpenPool(ctx, spec, LoopbackSources...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := opened.Err(); err != nil {
		t.Fatal(err)
	}
	publisher, err := DialPublisher(ctx, PublishTarget{Endpoint: Endpoint{Addr: spec.Addr}, WebSocket: true, Streams: load.Streams, Path: func(int) string { return "/pub" }})
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	r, err := Run(ctx, pool, publisher, load)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRunCountsEveryLieExactly(t *testing.T) {
	const subscribers, messages = 7, 100
	held := make(map[int]func()) // per subscriber, under the liar's lock
	plans := []struct {
		name string
		plan func(subscriber int, sequence uint64, send func())
		want Counts
	}{
		{"truth", liar.Truth, Counts{Delivered: 700}},
		{"drops 3 messages for one subscriber", func(s int, n uint64, send func()) {
			if s != 2 || n%40 != 10 { // 10, 50, 90
				send()
			}
		}, Counts{Delivered: 697, Lost: 3}},
		{"drops the first and the last for all", func(_ int, n uint64, send func()) {
			if n != 1 && n != messages {
				send()
			}
		}, Counts{Delivered: 686, Lost: 14}},
		{"repeats every 25th for two", func(s int, n uint64, send func()) {
			send()
			if s < 2 && n%25 == 0 {
				send()
			}
		}, Counts{Delivered: 700, Duplicated: 8}},
		{"sends 30 after 31 to three", func(s int, n uint64, send func()) {
			switch {
			case s < 3 && n == 30:
				held[s] = send
			case s < 3 && n == 31:
				send()
				held[s]()
			default:
				send()
			}
		}, Counts{Delivered: 700, Reordered: 3}},
		{"all at once", func(s int, n uint64, send func()) {
			switch {
			case s == 0 && n == 5: // lost
			case s == 1 && n == 20: // reordered by ten, and repeated
				held[s] = send
			case s == 1 && n == 30:
				send()
				held[s]()
				held[s]()
			default:
				send()
			}
		}, Counts{Delivered: 699, Lost: 1, Reordered: 1, Duplicated: 1}},
	}
	for _, kind := range []Kind{GWS, Epoll} {
		for _, p := range plans {
			t.Run(fmt.Sprintf("kind=%s/%s", kind, p.name), func(t *testing.T) {
				l := liar.Start(t, p.plan)
				p.want.Expected = subscribers * messages
				settle := 10 * time.Second // not waited for where everything comes
				if p.want.Lost > 0 {
					settle = time.Second
				}
				// A machine that is busy with other tests may send late: all are sent.
				r := runAgainst(t, Spec{Endpoint: Endpoint{Addr: l.Addr}, Kind: kind, Connections: subscribers},
					Load{Pacer: Rate(1000), Length: messages * time.Millisecond, Settle: settle, Overrun: 10 * time.Second})
				if r.Published != messages || r.Counts != p.want {
					t.Errorf("%d published, %+v; want %d, %+v", r.Published, r.Counts, messages, p.want)
				}
				if r.Complete != (p.want.Lost == 0) {
					t.Errorf("complete: %t with %d lost", r.Complete, r.Lost)
				}
				if got := uint64(r.Latency.Count()); got != p.want.Expected {
					t.Errorf("%d values in the histogram, want each expected message: %d", got, p.want.Expected)
				}
			})
		}
	}
}

func TestRunSeesAStallFromTheScheduledTime(t *testing.T) {
	const stall = 300 * time.Millisecond
	l := liar.Start(t, func(_ int, n uint64, send func()) {
		if n == 20 {
			time.Sleep(stall) // in the server, before anything is sent
		}
		send()
	})
	r := runAgainst(t, Spec{Endpoint: Endpoint{Addr: l.Addr}, Connections: 1}, Load{Pacer: Rate(100), Length: time.Second})
	// Messages 20 to 49 were due in the stall: 30 of 100 are late, not one.
	if p := r.Latency.Quantile(0.85); p < stall/3 {
		t.Errorf("p85 %v: the stall of %v is hidden", p, stall)
	}
	if p := r.Latency.Quantile(0.5); p > stall/3 {
		t.Errorf("p50 %v: half of the messages met no stall", p)
	}
}

func TestRunClosedLoopKeepsWhatIsInFlight(t *testing.T) {
	most, latest := uint64(0), make([]uint64, 3)
	l := liar.Start(t, func(s int, n uint64, send func()) { // under the liar's lock
		latest[s] = n
		send()
	})
	r := runAgainst(t, Spec{Endpoint: Endpoint{Addr: l.Addr}, Connections: 3, Kind: GWS}, Load{InFlight: 4, Length: 200 * time.Millisecond})
	for _, n := range latest {
		most = max(most, n)
	}
	if !r.Clean() || r.Published < 8 || most != r.Published {
		t.Errorf("%d published, the server saw %d, %+v", r.Published, most, r.Counts)
	}
}

func TestRunClosedLoopEndsWhenAMessageIsLost(t *testing.T) {
	l := liar.Start(t, func(_ int, n uint64, send func()) {
		if n != 3 {
			send()
		}
	})
	r := runAgainst(t, Spec{Endpoint: Endpoint{Addr: l.Addr}, Connections: 2}, Load{InFlight: 2, Length: 5 * time.Second, Settle: 200 * time.Millisecond})
	if !r.Stalled || r.Published != 4 || r.Lost != 2 {
		t.Errorf("stalled %t, %d published, %d lost; want true, 4, 2", r.Stalled, r.Published, r.Lost)
	}
}

func TestOpenPoolCountsRefusedConnections(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close()
	for _, kind := range []Kind{GWS, Epoll} {
		pool, opened, err := OpenPool(t.Context(), Spec{Endpoint: Endpoint{Addr: addr}, Kind: kind, Connections: 5})
		if err != nil {
			t.Fatal(err)
		}
		if opened.Failed != 5 || opened.Connections != 0 || !strings.Contains(opened.FirstError, "refused") {
			t.Errorf("%s: %+v, want 5 failed, refused", kind, opened)
		}
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenPoolGivesUpOnASilentServer(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0") // the kernel accepts; nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, kind := range []Kind{GWS, Epoll} {
		pool, opened, err := OpenPool(t.Context(), Spec{Endpoint: Endpoint{Addr: listener.Addr().String()}, Kind: kind, Connections: 3, Timeout: 300 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if opened.Failed != 3 {
			t.Errorf("%s: %+v, want 3 failed", kind, opened)
		}
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenPoolSplitsConnectionsAmongWorkers(t *testing.T) {
	spec := Spec{Connections: 2*MaxPerWorker + 1}
	if got := Split(spec, LoopbackSources...); len(got) != 3 || got[0].Connections+got[1].Connections+got[2].Connections != spec.Connections ||
		got[1].First != got[0].Connections || got[2].Source != "127.0.0.4" {
		t.Errorf("split: %+v", got)
	}
}

func TestCPUTimeAgreesWithTheKernelsTicks(t *testing.T) {
	cmd := exec.Command("sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo; read x")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); _ = cmd.Wait() }()
	if _, err := out.Read(make([]byte, 1)); err != nil { // the work is done
		t.Fatal(err)
	}
	got, err := CPUTime(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')'):]))
	var user, system int64
	fmt.Sscan(fields[12], &user)
	fmt.Sscan(fields[13], &system)
	ticks := time.Duration(user+system) * 10 * time.Millisecond
	if got < ticks-20*time.Millisecond || got > ticks+40*time.Millisecond || got < 10*time.Millisecond {
		t.Errorf("CPU time %v, the kernel's ticks say %v", got, ticks)
	}
}

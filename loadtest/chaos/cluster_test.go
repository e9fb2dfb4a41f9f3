package chaos

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"peal/loadtest/child"
)

// fakeCluster is a fake whose log several nodes serve. A node is killed with its
// event streams and polls; and the store may lose what is newest.
type fakeCluster struct {
	*fake
	addrs  []string
	mu     sync.Mutex
	nodes  []*http.Server
	wait   sync.WaitGroup
	silent bool // of a loss
}

func (f *fakeCluster) Start(ctx context.Context) error {
	if err := f.fake.Start(ctx); err != nil {
		return err
	}
	f.nodes = make([]*http.Server, len(f.addrs))
	for i := range f.addrs {
		if err := f.begin(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (f *fakeCluster) begin(_ context.Context, node int) error {
	listener, err := net.Listen("tcp4", f.addrs[node])
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	web := &http.Server{Handler: f.routes()}
	f.nodes[node] = web
	f.wait.Go(func() { _ = web.Serve(listener) }) // ErrServerClosed
	return nil
}

func (f *fakeCluster) end(_ context.Context, node int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.nodes[node].Close()
}

func (f *fakeCluster) Stop() error {
	for i := range f.nodes {
		_ = f.end(context.Background(), i) // of a server that is closed already
	}
	f.wait.Wait()
	return f.fake.Stop(true)
}

func (f *fakeCluster) Ready(context.Context, int) error { return nil }

func (f *fakeCluster) Faults() []Fault {
	return []Fault{
		{Name: "killed", Ends: true, Longest: 100 * time.Millisecond, Begin: f.end, End: f.begin},
		{Name: "lost", Store: true, Ends: true, Lose: f.lose},
	}
}

// lose makes the newest entries disappear for all who have not received them. With
// silent, no client has a gap.
func (f *fakeCluster) lose(_ context.Context, rnd *rand.Rand) (before, after uint64, err error) {
	f.fake.mu.Lock()
	defer f.fake.mu.Unlock()
	before = uint64(len(f.log))
	after = before - min(before, 20+uint64(rnd.IntN(20)))
	for i := range f.log[after:] {
		f.log[after:][i].channel = "lost"
	}
	f.log = append(f.log, entry{"", "", before + 1})
	if !f.silent {
		f.lost = before + 1
	}
	close(f.news)
	f.news = make(chan struct{})
	return before, after, nil
}

// cluster lets chaos reign over three fake nodes.
func cluster(t *testing.T, silent bool, lie func(told *telling, lives, sent uint64)) Report {
	t.Helper()
	t.Parallel() // it waits most of the time
	f := &fakeCluster{fake: &fake{keep: 100_000, lie: lie}, silent: silent}
	for range 4 {
		port, err := child.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		f.addrs = append(f.addrs, child.Loopback(port))
	}
	f.addr, f.addrs = f.addrs[3], f.addrs[:3]
	c := Config{Nodes: f.addrs, Seed: 7, Length: 6 * time.Second, CatchUp: 20 * time.Second, Clients: 60, Transports: []string{"sse", "sse json", "poll", "poll raw"},
		Channels: 8, Publishers: 3, Rate: 200, Restart: 600 * time.Millisecond, History: 100_000}
	r, err := RunCluster(t.Context(), c, f)
	if err != nil {
		t.Fatal(err)
	}
	if r.Nodes != 3 || r.Moves == 0 || r.Disturbed["killed"] == 0 || r.Disturbed["lost"] == 0 || r.Checked < 100 {
		t.Errorf("too little happened: %+v", r.Figures)
	}
	return r
}

func TestAnHonestClusterIsClean(t *testing.T) {
	if r := cluster(t, false, nil); !r.Clean() || r.GapsReal == 0 {
		t.Errorf("%+v; want gaps, all of them real", r)
	}
}

func TestASilentLossIsFound(t *testing.T) {
	// Slowly, so that some client has not received what will be lost.
	late := func(t *telling, _, _ uint64) { t.messages = t.messages[:min(1, len(t.messages))]; t.upto = t.last() }
	if r := cluster(t, true, late); r.Lost == 0 {
		t.Errorf("%+v; want what was lost without a gap", r)
	}
}

// last is the sequence of the newest message in t.
func (t *telling) last() uint64 {
	if len(t.messages) == 0 {
		return t.upto
	}
	return t.messages[len(t.messages)-1].sequence
}

func TestJudgeLosses(t *testing.T) {
	lost := func() *scene {
		s := newScene(t, All).published(1, 101, 103, 107, 112)
		s.losses = []span{{5, 11}}
		return s
	}

	s := lost()
	s.client().follows(100, 1).hears(101, 103, 107).misses(1, 110, discarded).hears(112)
	s.client().follows(101, 1).hears(103).misses(1, 110, discarded).hears(112)
	s.client().follows(103, 1).hears(107).follows(107, 1).misses(1, 110, discarded).hears(112)
	s.client().follows(107, 1).misses(1, 100, unknownCursor).hears(101, 103, 112)
	s.client().follows(101, 1).hears(103, 107, 112)
	s.history = 100
	s.is("")

	s = lost()
	s.client().follows(101, 1).hears(103, 112)
	s.is("lost 1")

	s = lost()
	s.client().follows(111, 1).misses(1, 111, discarded).hears(112)
	s.client().follows(112, 1).misses(1, 112, unknownCursor).hears()
	s.is("false 2")

	s = newScene(t, All).published(1, 101, 103, 112) // nothing was lost
	s.client().follows(103, 1).misses(1, 110, discarded).hears(112)
	s.is("false 1")
}

package upgrade

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// oldServer is an Old that notes what it is asked, and does at each step what the test says.
type oldServer struct {
	at          func(step string) error // may close the link: the process dies
	descriptors []int                   // of its connections
	ahead       int                     // so many of these were sent ahead, too
	without     int                     // so many more connections in each batch come without descriptors
	steps       []string
	left        []string // what Left was called with
}

func (o *oldServer) step(name string) error {
	o.steps = append(o.steps, name)
	return o.at(name)
}

func (o *oldServer) Retained(_ context.Context, send func(Part) error) error {
	for i := range 3 {
		if err := o.step(fmt.Sprint("retained ", i)); err != nil {
			return err
		}
		if err := send(Part{"log", []byte{byte(i)}}); err != nil {
			return err
		}
	}
	return nil
}

func (o *oldServer) Ahead(_ context.Context, send func(Batch) error) error {
	if err := o.step("ahead"); err != nil || o.ahead == 0 {
		return err
	}
	return send(Batch{Data: []byte("ahead"), Connections: o.ahead, Descriptors: o.descriptors[:o.ahead]})
}

func (o *oldServer) Freeze(context.Context) (uint64, error) { return 42, o.step("freeze") }

func (o *oldServer) Rest(_ context.Context, send func(Part) error) error {
	if err := o.step("rest"); err != nil {
		return err
	}
	return send(Part{"presence", []byte("members")})
}

func (o *oldServer) Connections(_ context.Context, send func(Batch) error) error {
	for i := 0; i < len(o.descriptors); i += MostDescriptors {
		if err := o.step(fmt.Sprint("connections ", i)); err != nil {
			return err
		}
		b := Batch{Descriptors: o.descriptors[i:min(i+MostDescriptors, len(o.descriptors))]}
		b.Connections = len(b.Descriptors) + o.without
		b.Data = fmt.Append(nil, "connections from ", i)
		if err := send(b); err != nil {
			return err
		}
	}
	return o.step("connections sent")
}

func (o *oldServer) Left(batch int, places []int) {
	o.left = append(o.left, fmt.Sprint(batch, places))
}

func (o *oldServer) Thaw()  { o.step("thaw") }
func (o *oldServer) Leave() { o.step("leave") }

func (o *oldServer) did(step string) bool { return strings.Contains(strings.Join(o.steps, ","), step) }

// newServer is a New of the same kind.
type newServer struct {
	at          func(step string) error
	steps       []string
	manifest    Manifest
	parts       []Part
	expected    []Batch
	connections []string
	descriptors []int
	totals      Totals
	leaves      map[int][]int // what Adopt returns for a batch
}

func (n *newServer) step(name string) error {
	n.steps = append(n.steps, name)
	return n.at(name)
}

func (n *newServer) Accept(m Manifest, listeners []int) error {
	n.manifest, n.descriptors = m, append(n.descriptors, listeners...)
	return n.step("accept")
}

func (n *newServer) Take(p Part) error {
	n.parts = append(n.parts, p)
	return n.step("take " + p.Room)
}

func (n *newServer) Expect(b Batch) error {
	n.expected = append(n.expected, b)
	n.descriptors = append(n.descriptors, b.Descriptors...)
	return n.step("expect")
}

func (n *newServer) Adopt(b Batch) ([]int, error) {
	n.connections = append(n.connections, string(b.Data))
	n.descriptors = append(n.descriptors, b.Descriptors...)
	return n.leaves[len(n.connections)-1], n.step("adopt")
}

func (n *newServer) Prepare(t Totals) error { n.totals = t; return n.step("prepare") }
func (n *newServer) Begin() error           { return n.step("begin") }

func nothing(string) error { return nil }

// rig is both ends of an upgrade.
type rig struct {
	old     *oldServer
	new     *newServer
	oldLink *Link
	newLink *Link
	limits  Limits
}

func newRig(t *testing.T, connections int) *rig {
	t.Helper()
	a, end, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewLink(end)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{old: &oldServer{at: nothing}, new: &newServer{at: nothing}, oldLink: a, newLink: b, limits: Limits{time.Minute, time.Minute, time.Minute}}
	for range connections {
		fd, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		r.old.descriptors = append(r.old.descriptors, fd)
	}
	t.Cleanup(func() {
		a.Close()
		b.Close()
		closeAll(r.old.descriptors)
		closeAll(r.new.descriptors)
	})
	return r
}

// run has both sides do it, each closing its link at the end, as a process that ends does.
func (r *rig) run(ctx context.Context) (o Outcome, oldErr, newErr error) {
	var both sync.WaitGroup
	both.Go(func() {
		newErr = Accept(ctx, r.newLink, r.new)
		r.newLink.Close()
	})
	m := Manifest{Format: Format, Version: "1.2.3", Data: []byte("first")}
	o, oldErr = Offer(ctx, r.oldLink, m, nil, r.old, r.limits)
	r.oldLink.Close()
	both.Wait()
	return o, oldErr, newErr
}

func TestUpgrade(t *testing.T) {
	r := newRig(t, 300)
	r.old.ahead, r.old.without = 100, 7
	r.new.leaves = map[int][]int{1: {3, 5}, 2: {0}}
	o, oldErr, newErr := r.run(t.Context())
	if oldErr != nil || newErr != nil || !o.Committed || !o.Begun || o.Connections != 318 || o.Left != 3 || o.Bytes < 100 {
		t.Fatalf("%+v, %v, %v", o, oldErr, newErr)
	}
	if got := strings.Join(r.old.left, ", "); got != "1 [3 5], 2 [0]" {
		t.Errorf("the old server hears that %s stay", got)
	}
	if len(o.Steps) != 4 || o.Steps[2].Name != "connections" {
		t.Errorf("steps: %v", o.Steps)
	}
	if got := strings.Join(r.old.steps, ", "); got != "retained 0, retained 1, retained 2, ahead, freeze, rest, connections 0, connections 128, connections 256, connections sent, leave" {
		t.Errorf("old: %s", got)
	}
	if got := strings.Join(r.new.steps, ", "); got != "accept, take log, take log, take log, expect, take presence, adopt, adopt, adopt, prepare, begin" {
		t.Errorf("new: %s", got)
	}
	if got := strings.Join(r.new.connections, ", "); got != "connections from 0, connections from 128, connections from 256" {
		t.Error(got)
	}
	if n := len(r.new.expected); n != 1 || string(r.new.expected[0].Data) != "ahead" || r.new.expected[0].Connections != 100 {
		t.Errorf("ahead: %v", r.new.expected)
	}
	if len(r.new.descriptors) != 400 || r.new.totals != (Totals{Parts: 4, Connections: 321, Ahead: 100, Head: 42}) || string(r.new.manifest.Data) != "first" {
		t.Errorf("%d connections, %+v, %+v", len(r.new.descriptors), r.new.totals, r.new.manifest)
	}
	for i, fd := range r.new.descriptors {
		if !same(t, fd, slices.Concat(r.old.descriptors[:100], r.old.descriptors)[i]) {
			t.Fatalf("descriptor %d is of another file", i)
		}
	}
}

// same reports whether two descriptors are of one file.
func same(t *testing.T, a, b int) bool {
	var x, y unix.Stat_t
	if err := errors.Join(unix.Fstat(a, &x), unix.Fstat(b, &y)); err != nil {
		t.Fatal(err)
	}
	return a != b && x.Ino == y.Ino && x.Dev == y.Dev
}

// TestFailuresAtEveryStep: whichever side fails or dies, and when, one server goes on,
// unless the process that had the connections dies after the commit.
func TestFailuresAtEveryStep(t *testing.T) {
	whole := newRig(t, 200)
	whole.old.ahead = 50
	if _, err, _ := whole.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("something broke")
	for _, side := range []string{"old", "new"} {
		steps := len(whole.old.steps)
		if side == "new" {
			steps = len(whole.new.steps)
		}
		for _, dies := range []bool{false, true} {
			for at := range steps {
				t.Run(fmt.Sprintf("%s/dies=%t/%d", side, dies, at), func(t *testing.T) {
					before := open(t)
					r := newRig(t, 200)
					r.old.ahead = 50
					seen := 0
					fail := func(link *Link) func(string) error {
						return func(step string) error {
							if seen++; seen != at+1 {
								return nil
							}
							if dies {
								link.Close()
							}
							return broken
						}
					}
					if side == "old" {
						r.old.at = fail(r.oldLink)
					} else {
						r.new.at = fail(r.newLink)
					}
					o, oldErr, newErr := r.run(t.Context())
					began := r.did("begin")
					if o.Committed != r.old.did("leave") || o.Committed == (oldErr != nil) {
						t.Fatalf("%+v, %v, old: %v", o, oldErr, r.old.steps)
					}
					if began != o.Committed {
						t.Fatalf("the old server left: %t, the new one began: %t", o.Committed, began)
					}
					if thawed := r.old.did("thaw"); thawed != (r.old.did("freeze") && !o.Committed) {
						t.Fatalf("thawed: %t after %v, %+v", thawed, r.old.steps, o)
					}
					if !o.Committed && newErr == nil {
						t.Fatal("the new server does not know that it has not taken over")
					}
					if side == "new" && !dies && !o.Committed && !strings.Contains(oldErr.Error(), broken.Error()) {
						t.Errorf("the operator of the old server reads %q, not why", oldErr)
					}
					if side == "new" && !began && !dies && !errors.Is(newErr, broken) {
						t.Errorf("new: %v", newErr)
					}
					closeAll(r.old.descriptors)
					closeAll(r.new.descriptors)
					r.old.descriptors, r.new.descriptors = nil, nil
					if after := open(t); after != before {
						t.Errorf("%d descriptors are open, %d were before", after, before)
					}
				})
			}
		}
	}
}

func (r *rig) did(step string) bool { return strings.Contains(strings.Join(r.new.steps, ","), step) }

// open is the number of descriptors of this process.
func open(t *testing.T) int {
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestTheFreezeHasALimit(t *testing.T) {
	r := newRig(t, 1)
	r.limits.Frozen = 50 * time.Millisecond
	stop := make(chan struct{})
	r.new.at = func(step string) error {
		if step == "prepare" {
			<-stop
		}
		return nil
	}
	time.AfterFunc(time.Second, func() { close(stop) })
	o, oldErr, newErr := r.run(t.Context())
	if o.Committed || !errors.Is(oldErr, os.ErrDeadlineExceeded) || !r.old.did("thaw") {
		t.Errorf("old: %+v, %v, %v", o, oldErr, r.old.steps)
	}
	if newErr == nil || r.did("begin") {
		t.Errorf("new: %v, %v", newErr, r.new.steps)
	}
}

func TestAFormatThatIsNotKnown(t *testing.T) {
	r := newRig(t, 1)
	errs := make(chan error, 1)
	go func() {
		errs <- Accept(t.Context(), r.newLink, r.new)
	}()
	_, err := Offer(t.Context(), r.oldLink, Manifest{Format: Format + 1, Version: "9.9"}, nil, r.old, r.limits)
	r.oldLink.Close()
	var refused *RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "version 9.9") || !strings.Contains(err.Error(), "systemctl restart") {
		t.Errorf("old: %v", err)
	}
	if err := <-errs; err == nil || len(r.new.steps) > 0 || len(r.old.steps) > 0 {
		t.Errorf("new: %v; steps %v, %v", err, r.new.steps, r.old.steps)
	}
}

// TestFramesOutOfOrder: no order of frames makes a server begin that has not prepared.
func TestFramesOutOfOrder(t *testing.T) {
	for _, kinds := range [][]kind{
		{kindCommit}, {kindPart}, {kindTotals}, {kindConnections}, {kindAhead}, {kindReady}, {kind(200)},
		{kindManifest, kindManifest}, {kindManifest, kindCommit}, {kindManifest, kindPrepared},
		{kindManifest, kindTotals, kindTotals}, {kindManifest, kindTotals, kindPart}, {kindManifest, kindTotals, kindAhead},
	} {
		r := newRig(t, 0)
		errs := make(chan error, 1)
		go func() { errs <- Accept(t.Context(), r.newLink, r.new) }()
		for i, k := range kinds {
			var value any
			switch k {
			case kindManifest:
				value = Manifest{Format: Format}
			case kindPart:
				value = Part{}
			case kindTotals:
				value = Totals{}
			case kindConnections, kindAhead:
				value = connections{}
			}
			if err := r.oldLink.send(k, value, nil); err != nil {
				t.Fatal(err)
			}
			if i < len(kinds)-1 {
				if _, err := r.oldLink.receive(); err != nil {
					t.Fatalf("%v: %v", kinds, err)
				}
			}
		}
		f, err := r.oldLink.receive()
		if err != nil || f.kind != kindRefused {
			t.Errorf("%v: %v, %v", kinds, f.kind, err)
		}
		r.oldLink.Close()
		if err := <-errs; err == nil || r.did("begin") {
			t.Errorf("%v: %v, %v", kinds, err, r.new.steps)
		}
	}
}

func FuzzAccept(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{byte(kindCommit), 0, 0, 0, 0, 0})
	f.Add([]byte{byte(kindManifest), 0, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{byte(kindManifest), 3, 0, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newRig(t, 0)
		if _, err := r.oldLink.conn.Write(b[:min(len(b), 1<<10)]); err != nil {
			t.Fatal(err)
		}
		r.oldLink.Close()
		if err := Accept(t.Context(), r.newLink, r.new); err == nil || r.did("begin") {
			t.Fatalf("%v after %q: %v", err, b, r.new.steps)
		}
	})
}

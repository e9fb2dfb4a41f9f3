package inbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server/inbox"
	"peal/server/log"
	"peal/server/names"
	"peal/server/publish"
	"peal/server/refusal"
	"peal/server/rules"
)

// store is an inbox in memory.
type store struct {
	mu      sync.Mutex
	list    []log.Foreign
	aside   []log.Refused
	holder  any
	settles func() error // what becomes of the next Settle; nil: it works
}

func (s *store) add(id string, fields ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, log.Foreign{ID: id, Fields: fields})
}

func (s *store) left() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.list {
		ids = append(ids, s.list[i].ID)
	}
	return ids
}

// door is the store as one node sees it.
type door struct {
	*store
	always bool // it believes that it holds the lease, as a node that was paused does
}

func (d *door) Lease(context.Context) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.holder == nil {
		d.holder = d
	}
	return d.holder == d || d.always, nil
}

func (d *door) Leave(context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.holder == d {
		d.holder = nil
	}
}

func (d *door) Read(_ context.Context, count, bytes int) (list []log.Foreign, more bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.list {
		if bytes -= d.list[i].Size(); len(list) == count || i > 0 && bytes < 0 {
			return list, true, nil
		}
		list = append(list, d.list[i])
	}
	return list, false, nil
}

func (d *door) Settle(_ context.Context, moved []string, refused []log.Refused) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.settles; f != nil {
		d.settles = nil
		if err := f(); err != nil {
			return err
		}
	}
	remove := func(id string) bool {
		before := len(d.list)
		d.list = slices.DeleteFunc(d.list, func(f log.Foreign) bool { return f.ID == id })
		return len(d.list) < before
	}
	for _, id := range moved {
		remove(id)
	}
	for _, r := range refused {
		if remove(r.ID) {
			d.aside = append(d.aside, r)
		}
	}
	return nil
}

func (d *door) Waiting(context.Context) (int, error) { return len(d.left()), nil }

// shared is a log of several nodes, which knows the keys.
type shared struct {
	entries []*log.Entry
	keys    map[string]string // data by publisher, key and channel
	errs    []error           // of the next Appends, nil: works
	dones   []error           // of the next batches, nil: in the log
}

func (s *shared) Append(batch []*log.Entry, done func(error)) error {
	if len(s.errs) > 0 {
		err := s.errs[0]
		s.errs = s.errs[1:]
		if err != nil {
			return err
		}
	}
	var result error
	if len(s.dones) > 0 {
		result, s.dones = s.dones[0], s.dones[1:]
	}
	if result == nil {
		result = s.append(batch)
	}
	done(result)
	return nil
}

func (s *shared) append(batch []*log.Entry) error {
	for _, e := range batch {
		key := e.Publisher + "\x00" + e.IdempotencyKey + "\x00" + e.Channel
		if data, ok := s.keys[key]; ok && data != string(e.Data) {
			return log.ErrConflict
		} else if ok {
			continue
		}
		s.keys[key] = string(e.Data)
		s.entries = append(s.entries, e)
	}
	return nil
}

func (s *shared) texts() (all []string) {
	for _, e := range s.entries {
		all = append(all, e.Channel+"="+string(e.Data))
	}
	return all
}

type rig struct {
	*store
	*shared
	said bytes.Buffer
}

func newRig() *rig { return &rig{store: &store{}, shared: &shared{keys: map[string]string{}}} }

func (r *rig) mover(d *door) *inbox.Mover {
	return inbox.New(inbox.Config{
		From: d, To: r.shared, Channels: 3,
		Check: func(d *publish.Draft, channels []*names.Name) *refusal.Error {
			if len(d.Data) > 100 {
				return &refusal.Error{Status: 413, Code: "message_too_large", Message: "too large"}
			}
			return nil
		},
		Rules:  func() *rules.Table { return rules.New(nil, rules.Rule{}) },
		Accept: func(int) {},
		Report: slog.New(slog.NewTextHandler(&r.said, nil)),
	})
}

func (r *rig) step(t *testing.T, m *inbox.Mover, want error) {
	t.Helper()
	if held, err := m.Step(t.Context()); !held || !errors.Is(err, want) {
		t.Fatalf("a step: held %v, %v, want %v", held, err, want)
	}
}

func TestEntriesAreMovedInOrder(t *testing.T) {
	r := newRig()
	m := r.mover(&door{store: r.store})
	for i := range 2*inbox.Count + 3 {
		r.add(fmt.Sprintf("%d-0", i+1), "channel", "a", "data", fmt.Sprint(i))
	}
	for range 3 {
		r.step(t, m, nil)
	}
	for i, e := range r.entries {
		if string(e.Data) != fmt.Sprint(i) || e.Publisher != "$inbox" || e.IdempotencyKey != fmt.Sprintf("inbox-%d-0", i+1) {
			t.Fatalf("entry %d is %+v", i, e)
		}
	}
	if len(r.entries) != 2*inbox.Count+3 || len(r.left()) != 0 {
		t.Errorf("%d entries moved, left %v", len(r.entries), r.left())
	}
	if s := m.Stats(); s.Moved != 2*inbox.Count+3 || s.Refused != 0 || !s.Mover || s.Waiting != 0 {
		t.Errorf("stats %+v", s)
	}
}

// Large entries are moved few at a time.
func TestARoundHasItsBytes(t *testing.T) {
	r := newRig()
	m := r.mover(&door{store: r.store})
	data := strings.Repeat("x", inbox.Bytes/4)
	for i := range 6 {
		r.add(fmt.Sprintf("%d-0", i+1), "channel", "a", "data", data)
	}
	for _, want := range []struct{ left, waiting int }{{3, 6}, {0, 0}} { // of four, the names of the fields are too much
		r.step(t, m, nil)
		if left, s := len(r.left()), m.Stats(); left != want.left || s.Waiting != want.waiting {
			t.Errorf("%d left, %d waiting, want %+v", left, s.Waiting, want)
		}
	}
}

func TestAllFields(t *testing.T) {
	r := newRig()
	r.add("1-0", "v", "1", "channel", "a", "channel", "b", "user", "42", "data", "x", "event", "paid", "key", "k", "ttl", "5000", "binary", "1")
	r.add("2-0", "channel", "a", "data", "\xff")
	r.add("3-0", "channel", "a", "data", "")
	r.step(t, r.mover(&door{store: r.store}), nil)
	if got := r.texts(); !slices.Equal(got, []string{"a=x", "b=x", "$user:42=x", "a=\xff", "a="}) {
		t.Fatalf("published %q", got)
	}
	for _, e := range r.entries[:3] {
		if e.Event != "paid" || e.IdempotencyKey != "k" || e.Publisher != "" || e.TTL != 5000 || !e.Binary || e.Shared == nil {
			t.Errorf("entry %+v", e)
		}
	}
	if !r.entries[3].Binary || r.entries[4].Binary {
		t.Error("data that is no text is binary, and no data is text")
	}
}

// A malformed entry is set aside with the reason; those behind it are published.
func TestMalformedEntriesAreSetAside(t *testing.T) {
	rows := []struct {
		fields []string
		reason string
	}{
		{[]string{"channel", "a"}, "bad_entry: the field data is missing"},
		{[]string{"data", "x"}, "bad_entry: name at least one channel"},
		{[]string{"channel", "a", "data", "x", "data", "y"}, "bad_entry: only channel and user"},
		{[]string{"channel", "a", "data", "x", "chanel", "b"}, "bad_entry: unknown field"},
		{[]string{"channel", "a", "data"}, "bad_entry: a field without a value"},
		{[]string{"v", "2", "channel", "a", "data", "x"}, "bad_entry: v is the version"},
		{[]string{"channel", "a", "data", "x", "ttl", "0"}, "bad_entry: ttl"},
		{[]string{"channel", "a", "data", "x", "ttl", "99999999999999999999"}, "bad_entry: ttl"},
		{[]string{"channel", "a", "data", "x", "binary", "true"}, "bad_entry: binary"},
		{[]string{"channel", "a", "data", "x", "event", "gap"}, "bad_event: "},
		{[]string{"channel", "a", "data", "x", "exclude", "me"}, "bad_exclude: "},
		{[]string{"channel", "a", "data", "x", "key", strings.Repeat("k", 201)}, "bad_idempotency_key: "},
		{[]string{"channel", "", "data", "x"}, "bad_channel: "},
		{[]string{"channel", "\xff", "data", "x"}, "bad_channel: "},
		{[]string{"channel", "$presence:a", "data", "x"}, "reserved_channel: "},
		{[]string{"channel", "a", "channel", "b", "channel", "c", "channel", "d", "data", "x"}, "too_many_channels: "},
		{[]string{"user", "", "data", "x"}, "bad_user: "},
		{[]string{"channel", "a", "data", strings.Repeat("secret ", 20)}, "message_too_large: "},
		{[]string{"channel", "a", "data", "y", "key", "k"}, "idempotency_conflict: "},
		{nil, "bad_entry: the field data is missing"},
	}
	r := newRig()
	r.add("0-1", "channel", "a", "data", "first", "key", "k")
	for i, row := range rows {
		r.add(fmt.Sprintf("%d-0", i+1), row.fields...)
	}
	r.add("99-0", "channel", "a", "data", "last")
	m := r.mover(&door{store: r.store})
	r.step(t, m, nil)
	if got := r.texts(); !slices.Equal(got, []string{"a=first", "a=last"}) || len(r.left()) != 0 {
		t.Errorf("published %q, left %v", got, r.left())
	}
	reasons := map[string]string{}
	for _, a := range r.aside {
		reasons[a.ID] = a.Reason
	}
	for i, row := range rows {
		if got := reasons[fmt.Sprintf("%d-0", i+1)]; !strings.HasPrefix(got, row.reason) {
			t.Errorf("%.60q: the reason is %q, want %q", row.fields, got, row.reason)
		}
	}
	if s := m.Stats(); s.Moved != 2 || s.Refused != uint64(len(rows)) {
		t.Errorf("stats %+v", s)
	}
	said := r.said.String()
	if !strings.Contains(said, "id=1-0") || !strings.Contains(said, "further entries") || strings.Contains(said, "secret") {
		t.Errorf("the log says %s", said)
	}
}

// The node ends between the append and the removal: the next one finds the entries again.
func TestEntryIsMovedOnceThoughTheMoverEnds(t *testing.T) {
	r := newRig()
	first, second := &door{store: r.store}, &door{store: r.store}
	r.add("1-0", "channel", "a", "data", "one")
	r.add("2-0", "channel", "a", "data", "two", "key", "mine")
	died := errors.New("connection reset")
	r.settles = func() error { return died }
	r.step(t, r.mover(first), died)
	if got := r.left(); len(got) != 2 {
		t.Fatalf("left %v", got)
	}
	if held, err := r.mover(second).Step(t.Context()); held || err != nil {
		t.Fatalf("two nodes move: %v, %v", held, err)
	}
	first.Leave(t.Context())
	r.add("3-0", "channel", "a", "data", "three")
	r.step(t, r.mover(second), nil)
	if got := r.texts(); !slices.Equal(got, []string{"a=one", "a=two", "a=three"}) || len(r.left()) != 0 {
		t.Errorf("published %q, left %v", got, r.left())
	}
}

// A node that was paused does not know that its lease is over: both move.
func TestTwoMoversPublishOnce(t *testing.T) {
	r := newRig()
	paused, present := &door{store: r.store, always: true}, &door{store: r.store}
	r.add("1-0", "channel", "a", "data", "one")
	r.add("2-0", "channel", "\xff", "data", "bad")
	m := r.mover(paused)
	r.settles = func() error { // what the other one does meanwhile; the store is locked
		r.mu.Unlock()
		defer r.mu.Lock()
		r.holder = present
		r.step(t, r.mover(present), nil)
		return nil
	}
	r.step(t, m, nil)
	if got := r.texts(); !slices.Equal(got, []string{"a=one"}) || len(r.aside) != 1 {
		t.Errorf("published %q, set aside %v", got, r.aside)
	}
}

// What the log cannot take stays, with all that is behind it.
func TestEntriesWaitForTheLog(t *testing.T) {
	for _, err := range []error{log.ErrFull, log.ErrUnavailable, log.ErrStorage, log.ErrClosed} {
		r := newRig()
		for i := range 4 {
			r.add(fmt.Sprintf("%d-0", i+1), "channel", "a", "data", fmt.Sprint(i))
		}
		r.errs = []error{nil, err}
		m := r.mover(&door{store: r.store})
		r.step(t, m, err)
		if got := r.left(); !slices.Equal(got, []string{"2-0", "3-0", "4-0"}) {
			t.Errorf("%v: left %v", err, got)
		}
		if s := m.Stats(); s.Waiting != 3 || s.Moved != 1 {
			t.Errorf("%v: stats %+v", err, s)
		}
		r.dones = []error{nil, err} // accepted, and then lost or not known
		r.step(t, m, err)
		if got := r.left(); !slices.Equal(got, []string{"3-0"}) {
			t.Errorf("%v: left %v", err, got)
		}
		r.step(t, m, nil)
		if got := r.texts(); len(got) != 4 || len(r.aside) != 0 {
			t.Errorf("%v: published %q, set aside %v", err, got, r.aside)
		}
	}
}

func TestRunEndsAndGivesTheLeaseBack(t *testing.T) {
	r := newRig()
	d := &door{store: r.store}
	r.add("1-0", "channel", "a", "data", "one")
	m := r.mover(d)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { m.Run(ctx); close(ended) }()
	for end := time.Now().Add(time.Minute); m.Stats().Moved == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is moved")
		}
	}
	cancel()
	<-ended
	if d.holder != nil || m.Stats().Mover {
		t.Error("the lease is held after the end")
	}
}

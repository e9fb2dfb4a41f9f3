package webhook

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"peal/server/log"
)

// Config is what New needs. Fields with defaults may be zero.
type Config struct {
	Endpoints []Definition // valid
	Apps      func(id string) (App, bool)
	Log       log.Engine
	Dead      Store

	// Of a log that several nodes share; Node is 0 without others.
	Node   uint64
	Nodes  func() []uint64 // that live, this one included
	Alive  time.Duration   // beyond which a node that reads nothing new does not know whether it lives
	Spread time.Duration   // for which another node holds a lease that should be this one's, before this one asks, default 5 s

	// What an observer looks at. Subscribers and Members are of all nodes; Each calls f for
	// each channel that may have subscribers; complete is false while members of a node are unknown.
	// Changed, if there is one, returns channels that have changed; others come by Touch.
	Subscribers func(channel string) int
	Each        func(f func(channel string))
	Members     func(channel string) (clients []string, complete bool)
	Changed     func(most int) []string

	Names       int // channels and members that are observed, default DefaultNames
	RecentBytes int // default DefaultRecentBytes

	BatchWait  time.Duration // default 100 ms
	FirstPause time.Duration // before the first repeat, default 1 s
	Every      time.Duration // between two looks of the observer, default 1 s
	Vacate     time.Duration // for which a channel is empty before it is reported, default 3 s
	Settle     time.Duration // after the start, or a lease, for which nothing is reported as gone, default 10 s

	Roots  *x509.CertPool // default those of the machine
	Report *slog.Logger
	Now    func() time.Time
}

// Defaults of Config.
const (
	DefaultNames       = 100_000
	DefaultRecentBytes = 16 << 20
)

func (c Config) withDefaults() Config {
	duration := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	duration(&c.BatchWait, 100*time.Millisecond)
	duration(&c.FirstPause, time.Second)
	duration(&c.Every, time.Second)
	duration(&c.Vacate, 3*time.Second)
	duration(&c.Settle, 10*time.Second)
	duration(&c.Alive, time.Minute)
	duration(&c.Spread, 5*time.Second)
	if c.Names <= 0 {
		c.Names = DefaultNames
	}
	if c.RecentBytes <= 0 {
		c.RecentBytes = DefaultRecentBytes
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Dead == nil {
		c.Dead = NewMemory()
	}
	return c
}

// Hooks are all endpoints. It is a log.Tail, a log.Loser, and a log.State.
type Hooks struct {
	// Fixed at New. Config.Endpoints is as it was then.
	config Config
	reader log.Reader // nil for a log in memory
	shared log.Distributed

	set    atomic.Pointer[[]*endpoint] // stored with the lock of recent
	state  *state
	recent recent
	loaded uint64 // entries up to here are in the state that was loaded
	look   observer

	missed missed

	more    atomic.Bool   // Apply has kept something
	burying sync.Mutex    // held for a change of Config.Dead
	dropped atomic.Uint64 // dead letters for which there was no room
}

// New returns Hooks for a log that is not started yet.
func New(c Config) (*Hooks, error) {
	h := &Hooks{config: c.withDefaults(), state: newState()}
	h.recent.limit = h.config.RecentBytes
	h.reader, _ = c.Log.(log.Reader)
	if c.Node != 0 {
		h.shared, _ = c.Log.(log.Distributed)
	}
	h.look.init(h)
	h.set.Store(&[]*endpoint{})
	use, err := h.Prepare(c.Endpoints, c.Apps)
	if err != nil {
		return nil, err
	}
	use()
	return h, nil
}

// endpoints are those that are configured now.
func (h *Hooks) endpoints() []*endpoint { return *h.set.Load() }

// Observed reports whether any endpoint wants events of channels, and of members.
func Observed(all []Definition) (channels, members bool) {
	for i := range all {
		c, m := all[i].observes()
		channels, members = channels || c, members || m
	}
	return channels, members
}

// Begin says what the log has restored. After Start of the log, before Run; what is appended between is
// read all the same.
func (h *Hooks) Begin(head uint64) { h.recent.begin(head) }

// Room is always there; see log.Tail.
func (h *Hooks) Room(int, int) bool { return true }

// Apply follows the entries of this package, and keeps what an endpoint wants; see log.Tail.
func (h *Hooks) Apply(batch []*log.Entry) {
	if len(h.endpoints()) == 0 && !log.IsControl(batch) {
		return
	}
	for _, e := range batch {
		switch {
		case isOurs(e):
			h.follow(e)
		case e.Kind == log.KindControl && e.Event == eventKick:
			h.applyKick(e)
		}
	}
	if h.recent.add(batch, h.wanted) {
		h.more.Store(true)
	}
}

func (h *Hooks) wanted(e *log.Entry) bool {
	return slices.ContainsFunc(h.endpoints(), func(p *endpoint) bool { return p.wants(e) })
}

func (h *Hooks) follow(e *log.Entry) {
	if err := h.state.apply(e); err != nil {
		h.config.Report.Error("an entry of the log was skipped", "sequence", e.Sequence, "error", err)
	}
}

// Wake tells the deliverers that there is more; see log.Tail.
func (h *Hooks) Wake() {
	if !h.more.Swap(false) {
		return
	}
	for _, p := range h.endpoints() {
		signal(p.wake)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // signalled already
	}
}

// Lose says that the store of the log has lost entries, or that this node has missed them; see log.Loser. A deliverer
// that stands before upto reads the log, which has a gap there.
func (h *Hooks) Lose(_, upto uint64) {
	h.recent.lose(upto)
	h.more.Store(true)
}

// Restore follows entries that the log has kept.
func (h *Hooks) Restore(batch []*log.Entry) {
	for _, e := range batch {
		if isOurs(e) && e.Sequence > h.loaded {
			h.follow(e)
		}
	}
}

// Save, Load and Lost: see log.State. After a loss, endpoints get a gap where their cursors do not
// resolve, and channels are observed anew.
func (h *Hooks) Save() []byte { return h.state.save() }

// Load takes what Save has returned.
func (h *Hooks) Load(saved []byte, upto uint64) error {
	h.loaded = upto
	return h.state.load(saved)
}

// Lost changes nothing: cursors that were not lost are good.
func (h *Hooks) Lost(string) {}

// trim forgets the recent entries that all endpoints have.
func (h *Hooks) trim() {
	least := h.config.Log.Head()
	for _, p := range h.endpoints() {
		at, ok := h.state.bounds(p.Name)
		if !ok {
			return
		}
		if from, ok := h.resolve(at.From); ok {
			least = min(least, from)
		} else {
			return
		}
	}
	h.recent.trim(least)
}

func (h *Hooks) resolve(cursor string) (sequence uint64, ok bool) {
	c, err := log.ParseCursor(cursor)
	if err != nil {
		return 0, false
	}
	return h.config.Log.Resolve(c)
}

func (h *Hooks) cursor(sequence uint64) log.Cursor { return h.config.Log.Lineage().Cursor(sequence) }

// append appends one entry, and waits until it is in the log.
func (h *Hooks) append(ctx context.Context, e *log.Entry) error {
	result := make(chan error, 1)
	if err := h.config.Log.Append([]*log.Entry{e}, func(err error) { result <- err }); err != nil {
		return err
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read returns entries behind after, wanted or not, and the position up to which it has looked. The
// error is a *log.MissingError if some are gone.
func (h *Hooks) read(p *endpoint, after uint64, count, bytes int) (entries []*log.Entry, upto uint64, err error) {
	entries, upto, floor, ok := h.recent.read(after, count, bytes)
	if ok && (after >= p.since || h.reader == nil) {
		return entries, upto, nil
	}
	floor = max(floor, p.since)
	if h.reader == nil {
		return nil, after, &log.MissingError{After: after, Upto: floor}
	}
	entries, err = h.reader.Read(nil, after, count, bytes)
	var missing *log.MissingError
	switch {
	case len(entries) > 0:
		return entries, entries[len(entries)-1].Sequence, nil
	case err == nil && after >= h.config.Log.Head(): // it is being shown
		return nil, after, nil
	case errors.As(err, &missing), err == nil: // none there, though some were: they cannot be read
		if missing == nil || missing.Upto <= after {
			missing = &log.MissingError{After: after, Upto: floor}
		}
		return nil, after, missing
	}
	return nil, after, fmt.Errorf("read behind %d: %w", after, err)
}

package hub_test

import (
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"peal/loop/ring"
	"peal/server/hub"
	"peal/server/log"
	"peal/server/rules"
)

var seedFlag = flag.Uint64("seed", 0, "replay the schedule of this seed")

// system is what the random schedule drives: the hub, or one with a planted bug.
type system interface {
	Apply(batch []*log.Entry)
	Read(dst []*ring.Message, channel string, after, upto uint64, count, bytes int) ([]*ring.Message, uint64, bool)
	Newest(channel string, n int) uint64
	Join(channel string) string
	Leave(channel string)
	Sweep(now time.Time) bool
	Channels(prefix, after string, limit int) []hub.Info
	Channel(name string) (hub.Info, bool)
	Stats() hub.Stats
	Since(dst []*ring.Message, match func(string) bool, after, upto uint64, count, bytes, look int) ([]*ring.Message, uint64, uint64, int)
	Before(match func(string) bool, upto uint64, look int) (*ring.Message, uint64, int)
}

// schedule is one random run of a system beside the model.
type schedule struct {
	random *rand.Rand
	clock  *clock
	system system
	model  *model
	ring   *fakeRing
	names  []string
	head   uint64
	sent   []uint64            // sequences of what is for subscribers
	joined []string            // one for each subscriber
	truth  map[string][]uint64 // everything ever published, by channel
	alone  bool                // no two names share a bucket
}

// newSchedule makes a hub with small random limits, half of the time without
// records of forgotten channels. With 65,536 buckets, or with records, what is
// remembered of a name is its own; with few buckets alone the names collide.
func newSchedule(seed uint64, buckets int, wrap func(*hub.Hub) system) *schedule {
	s := &schedule{
		random: rand.New(rand.NewPCG(seed, 1)),
		clock:  newClock(),
		ring:   &fakeRing{},
		truth:  make(map[string][]uint64),
		alone:  buckets == hub.BucketCount,
	}
	for i := range 3 + s.random.IntN(10) {
		s.names = append(s.names, fmt.Sprintf("channel-%d", i))
	}
	config := hub.Config{TotalBytes: log.EntryOverhead * (2 + s.random.IntN(60))}
	records := s.random.IntN(2) == 0
	if !records {
		config.ForgottenBytes = -1
	}
	limits := func(string) hub.Limits { return config.Limits }
	config.Limits = s.limits()
	if s.random.IntN(3) > 0 {
		config.Rules, limits = s.rules()
	}
	for salt := seed; ; salt++ {
		hash := func(name string) uint64 { return saltedHash(salt, name) }
		h := hub.NewWithHash(config, s.ring, nothing, s.clock.now, hash, buckets)
		used := make(map[uint64]bool)
		for _, name := range s.names {
			used[h.Bucket(name)] = true
			used[h.Bucket(log.PresencePrefix+name)] = true
		}
		if s.alone && len(used) < 2*len(s.names) {
			continue
		}
		bucket := h.Bucket
		if records {
			bucket, s.alone = hash, true
		}
		h.RecordOrder()
		s.system = wrap(h)
		s.model = &model{
			limits: limits, total: config.TotalBytes, bucket: bucket,
			channels: make(map[string]*modelChannel), watermarks: make(map[uint64]uint64),
		}
		return s
	}
}

func (s *schedule) limits() hub.Limits {
	return hub.Limits{
		Messages: 1 + s.random.IntN(12),
		Bytes:    log.EntryOverhead * (2 + s.random.IntN(10)),
		Age:      time.Duration(1+s.random.IntN(2000)) * time.Millisecond,
	}
}

// rules makes a rule for the odd channels, one for channel-2 and those from 20
// on, and one for all others; sometimes one keeps nothing.
func (s *schedule) rules() (*rules.Table, func(name string) hub.Limits) {
	odd, two, others := s.limits(), s.limits(), s.limits()
	if s.random.IntN(2) == 0 {
		two.Messages = -1
	}
	if s.random.IntN(2) == 0 {
		others.Age = odd.Age // two rules may share an age
	}
	rule := func(match string, l hub.Limits) rules.Rule {
		return rules.Rule{Match: match, HistoryMessages: l.Messages, HistoryBytes: l.Bytes, HistoryAge: l.Age}
	}
	var list []rules.Rule
	for digit := 1; digit < 10; digit += 2 {
		list = append(list, rule(fmt.Sprintf("*%d", digit), odd))
	}
	return rules.New(append(list, rule("channel-2*", two)), rule("", others)), func(name string) hub.Limits {
		var n int
		fmt.Sscanf(name, "channel-%d", &n)
		switch {
		case n%2 == 1:
			return odd
		case name[len("channel-")] == '2':
			return two
		}
		return others
	}
}

// saltedHash is a hash that a seed repeats, unlike that of maphash.
func saltedHash(salt uint64, name string) uint64 {
	f := fnv.New64a()
	fmt.Fprint(f, salt, name)
	return f.Sum64()
}

func (s *schedule) name() string { return s.names[s.random.IntN(len(s.names))] }

// readable is a name that one can subscribe to: sometimes the presence of a channel.
func (s *schedule) readable() string {
	if s.random.IntN(4) == 0 {
		return log.PresencePrefix + s.name()
	}
	return s.name()
}

func (s *schedule) append() {
	var batch []*log.Entry
	for range 1 + s.random.IntN(3) {
		if s.head++; s.random.IntN(4) == 0 {
			s.head += s.random.Uint64N(9) // a hole
		}
		e := &log.Entry{Sequence: s.head, Time: s.clock.milliseconds(), Channel: s.name(), Data: make([]byte, s.random.IntN(200))}
		switch s.random.IntN(20) {
		case 0:
			e.Kind = log.KindPresence
		case 1:
			e.Data = make([]byte, s.random.IntN(20*log.EntryOverhead))
		case 2:
			e.Time -= int64(s.random.IntN(2000)) // another node's clock
		case 3, 4:
			e.TTL = 1 + int64(s.random.IntN(500))
		case 5:
			e.Kind = log.KindControl
		}
		for s.random.IntN(4) == 0 {
			e.Also = append(e.Also, s.name())
		}
		batch = append(batch, e)
	}
	s.system.Apply(batch)
	for _, e := range batch {
		if e.Kind != log.KindControl { // the hub must not notice it
			s.model.append(e)
			s.sent = append(s.sent, e.Sequence)
		}
		switch e.Kind {
		case log.KindPresence:
			name := log.PresencePrefix + e.Channel
			s.truth[name] = append(s.truth[name], e.Sequence)
		case log.KindPublication:
			for _, name := range append([]string{e.Channel}, e.Also...) {
				if !slices.Contains(s.truth[name], e.Sequence) {
					s.truth[name] = append(s.truth[name], e.Sequence)
				}
			}
		}
	}
}

func (s *schedule) read(name string, after uint64) error {
	upto, count, bytes := uint64(all), int(all), int(all)
	if s.random.IntN(3) == 0 {
		upto = s.head - min(s.head, s.random.Uint64N(20))
		count = s.random.IntN(10)
		bytes = s.random.IntN(10 * log.EntryOverhead)
	}
	msgs, discarded, more := s.system.Read(nil, name, after, upto, count, bytes)
	want, wantDiscarded, wantMore := s.model.read(name, after, upto, count, bytes)
	if !equal(msgs, want) || discarded != wantDiscarded || more != wantMore {
		return fmt.Errorf("read %q (%d, %d] count %d bytes %d: got %v, discarded %d, more %v; want %v, discarded %d, more %v",
			name, after, upto, count, bytes, list(msgs), discarded, more, want, wantDiscarded, wantMore)
	}
	return s.promise(name, after, upto, list(msgs), discarded, more)
}

// promise checks what Read promises against all that was ever published, apart
// from the model.
func (s *schedule) promise(name string, after, upto uint64, got []uint64, discarded uint64, more bool) error {
	for _, sequence := range s.truth[name] {
		wanted := after < sequence && sequence <= upto && sequence > discarded && !more
		if wanted && !slices.Contains(got, sequence) {
			return fmt.Errorf("read %q (%d, %d]: %d is missing without a gap (discarded %d)", name, after, upto, sequence, discarded)
		}
	}
	for _, sequence := range got {
		if sequence <= discarded || !slices.Contains(s.truth[name], sequence) {
			return fmt.Errorf("read %q (%d, %d]: %d should not be here (discarded %d)", name, after, upto, sequence, discarded)
		}
	}
	if s.alone && discarded != 0 && !slices.Contains(s.truth[name], discarded) {
		return fmt.Errorf("read %q: discarded %d was never published there: a false gap", name, discarded)
	}
	return nil
}

func (s *schedule) step() error {
	switch n := s.random.IntN(100); {
	case n < 40:
		s.append()
	case n < 48:
		if err := s.since(); err != nil {
			return err
		}
	case n < 65:
		if err := s.read(s.readable(), s.random.Uint64N(s.head+3)); err != nil {
			return err
		}
	case n < 72:
		name, n := s.readable(), s.random.IntN(12)-1
		if got, want := s.system.Newest(name, n), s.model.newest(name, n); got != want {
			return fmt.Errorf("newest %d of %q: after %d, want %d", n, name, got, want)
		}
	case n < 80:
		name := s.readable()
		if kept := s.system.Join(name); kept != name {
			return fmt.Errorf("Join keeps the name %q of %q", kept, name)
		}
		s.model.join(name)
		s.joined = append(s.joined, name)
	case n < 88 && len(s.joined) > 0:
		s.leave(s.random.IntN(len(s.joined)))
	case n < 95:
		s.clock.pass(time.Duration(s.random.IntN(400)) * time.Millisecond)
	case n < 98:
		s.system.Sweep(s.clock.now())
		s.model.now = s.clock.milliseconds()
		s.model.sweep()
	default:
		if got, want := s.system.Channels("", "", hub.MaxInfos), s.model.list(); !slices.Equal(got, want) {
			return fmt.Errorf("channels are %+v, want %+v", got, want)
		}
	}
	s.model.now = s.clock.milliseconds()
	got, want := s.system.Stats(), s.model.stats()
	got.Forgotten = 0
	if got != want {
		return fmt.Errorf("stats are %+v, want %+v", got, want)
	}
	if s.system.Stats().Bytes > s.model.total {
		return fmt.Errorf("more than %d bytes retained", s.model.total)
	}
	return nil
}

func (s *schedule) leave(i int) {
	s.system.Leave(s.joined[i])
	s.model.leave(s.joined[i])
	s.joined = slices.Delete(s.joined, i, i+1)
}

// run takes the steps, then sends everybody away and lets everything expire.
func (s *schedule) run(steps int) error {
	s.model.now = s.clock.milliseconds()
	for i := range steps {
		if err := s.step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	for _, name := range s.names {
		if err := s.read(name, 0); err != nil {
			return fmt.Errorf("at the end: %w", err)
		}
	}
	for len(s.joined) > 0 {
		s.leave(0)
	}
	s.clock.pass(time.Hour)
	s.model.now = s.clock.milliseconds()
	for s.system.Sweep(s.clock.now()) {
	}
	s.model.sweep()
	if got := s.system.Stats(); got != (hub.Stats{Evicted: got.Evicted, Forgotten: got.Forgotten}) {
		return fmt.Errorf("left over: %+v", got)
	}
	for _, name := range s.names {
		if err := s.read(name, 0); err != nil {
			return fmt.Errorf("after the end: %w", err)
		}
	}
	if got := list(s.ring.messages); !slices.Equal(got, s.sent) {
		return fmt.Errorf("the ring has %v, want %v", got, s.sent)
	}
	return nil
}

func honest(h *hub.Hub) system { return h }

func TestHubIsTheModel(t *testing.T) {
	schedules, steps := 10, 1000
	if testing.Short() {
		schedules = 3
	}
	first := rand.Uint64()
	if *seedFlag != 0 {
		first, schedules = *seedFlag, 1
	}
	for _, buckets := range []int{1, 4, 1024, hub.BucketCount} {
		t.Run(fmt.Sprintf("buckets=%d", buckets), func(t *testing.T) {
			for i := range schedules {
				seed := first + uint64(i)
				if err := newSchedule(seed, buckets, honest).run(steps); err != nil {
					t.Fatalf("%v\nreplay: go test ./server/hub -run 'TestHubIsTheModel/buckets=%d' -seed %d", err, buckets, seed)
				}
			}
		})
	}
}

// The planted bugs, which the schedules must catch.

// trimUnnoticed forgets to raise discarded while the channel is there.
type trimUnnoticed struct{ *hub.Hub }

func (b trimUnnoticed) Read(dst []*ring.Message, channel string, after, upto uint64, count, bytes int) ([]*ring.Message, uint64, bool) {
	msgs, discarded, more := b.Hub.Read(dst, channel, after, upto, count, bytes)
	if _, ok := b.Channel(channel); ok {
		discarded = 0
	}
	return msgs, discarded, more
}

// watermarkDropped forgets what a forgotten channel has lost.
type watermarkDropped struct{ *hub.Hub }

func (b watermarkDropped) Read(dst []*ring.Message, channel string, after, upto uint64, count, bytes int) ([]*ring.Message, uint64, bool) {
	msgs, discarded, more := b.Hub.Read(dst, channel, after, upto, count, bytes)
	if _, ok := b.Channel(channel); !ok {
		discarded = 0
	}
	return msgs, discarded, more
}

// oneLate skips the first message after a cursor.
type oneLate struct{ *hub.Hub }

func (b oneLate) Read(dst []*ring.Message, channel string, after, upto uint64, count, bytes int) ([]*ring.Message, uint64, bool) {
	return b.Hub.Read(dst, channel, after+1, upto, count, bytes)
}

// leaker never sweeps.
type leaker struct{ *hub.Hub }

func (leaker) Sweep(time.Time) bool { return false }

func TestPlantedBugsAreCaught(t *testing.T) {
	for name, wrap := range map[string]func(*hub.Hub) system{
		"trim unnoticed":    func(h *hub.Hub) system { return trimUnnoticed{h} },
		"watermark dropped": func(h *hub.Hub) system { return watermarkDropped{h} },
		"one late":          func(h *hub.Hub) system { return oneLate{h} },
		"leak":              func(h *hub.Hub) system { return leaker{h} },
		"hidden gap":        func(h *hub.Hub) system { return hiddenGap{h} },
		"channel missed":    func(h *hub.Hub) system { return oneChannelMissed{h} },
		"twice":             func(h *hub.Hub) system { return twice{h} },
	} {
		t.Run(name, func(t *testing.T) {
			// Limits are random, and with wide ones a bug may have no occasion.
			const schedules = 20
			first := rand.Uint64()
			for i := range uint64(schedules) {
				if err := newSchedule(first+i, hub.BucketCount, wrap).run(1500); err != nil {
					t.Logf("schedule %d: %v", i, err)
					return
				}
			}
			t.Errorf("not caught in %d schedules from seed %d", schedules, first)
		})
	}
}

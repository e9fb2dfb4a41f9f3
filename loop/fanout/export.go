package fanout

import (
	"errors"
	"slices"
)

// Exporter makes members plain data. It changes nothing, and is of use as long as nothing
// else of the Fan is called.
type Exporter struct {
	fan   *Fan
	names Names
	index map[*byte]int // of Rests, by their last bytes

	// Rests are the ends of messages and responses that sockets have not taken, which members
	// share. MemberState.Rest names one of them.
	Rests [][]byte
}

var (
	// ErrFlying: bytes of the member are with the sender; the Fan is not Settled.
	ErrFlying = errors.New("fanout: bytes are with the sender")
	// ErrDead: the member was given up, and waits for Detach.
	ErrDead = errors.New("fanout: the member was given up")
)

// NewExporter returns an Exporter of the members of f, which is Settled.
func (f *Fan) NewExporter(names Names) *Exporter {
	x := &Exporter{fan: f, names: names, index: map[*byte]int{}}
	for i := range f.lanes {
		half := f.lanes[i].half
		if len(half) == 0 {
			continue
		}
		last := &half[len(half)-1]
		at, ok := x.index[last]
		switch {
		case !ok:
			x.index[last] = len(x.Rests)
			x.Rests = append(x.Rests, half)
		case len(half) > len(x.Rests[at]):
			x.Rests[at] = half
		}
	}
	return x
}

// NewQuietExporter returns an Exporter of members that are Quiet, of a Fan that need not be Settled.
func (f *Fan) NewQuietExporter(names Names) *Exporter { return &Exporter{fan: f, names: names} }

// Member makes the member in slot plain data, in s, whose Channels it uses again: they are good until the
// next call with s. Its session is the caller's to know. After an error s is of no use.
func (x *Exporter) Member(slot uint32, s *MemberState) error {
	f := x.fan
	m := f.member(slot)
	switch {
	case m.flags&flagDead != 0:
		return ErrDead
	case m.flight != 0:
		return ErrFlying
	}
	*s = MemberState{Channels: s.Channels[:0]}
	s.Position, s.Full = f.Position(slot), m.flags&flagFull != 0
	if m.flags&flagAdopted != 0 {
		id := f.adopted[slot>>slabBits][slot&(1<<slabBits-1)]
		s.Adopted = &id
	}
	if m.view != 0 {
		x.subscription(s, slot, m)
	}
	if m.lane != 0 {
		l := &f.lanes[m.lane]
		s.Waits, s.Private, s.Answers = true, slices.Clip(l.buf), l.answers
		if n := len(l.half); n > 0 {
			s.Rest, s.Missing = 1+x.index[&l.half[n-1]], n
		}
	}
	if len(s.Channels) == 0 {
		s.Channels = nil
	}
	return nil
}

// subscription adds what the member receives.
func (x *Exporter) subscription(s *MemberState, slot uint32, m *member) {
	v := x.fan.views[m.view]
	for _, o := range s.flags() {
		*o.on = m.flags&o.flag != 0
	}
	if s.Summed {
		s.Sum = *x.fan.sum(slot)
	}
	s.Origin = x.names.OriginName(m.origin)
	s.Channels = x.fan.Channels(slices.Grow(s.Channels, v.width()), slot)
	s.Encoding = x.names.EncodingName(v.encoding)
	s.OneShot = v.oneShot
	if int(v.most) < min(x.fan.limits.AnswerMessages, maxMost) {
		s.Most = v.most
	}
	if k := x.fan.marks[slot]; k != nil {
		s.Told, s.Had, s.Skip = k.told, k.had, k.skip
	}
}

// flagOf is a field of a MemberState that is a flag of a member.
type flagOf struct {
	on   *bool
	flag uint16
}

// flags are the fields that are flags of a subscription. flagLast has another meaning for a
// stream with a sum, which no such stream has unless bytes are with the sender.
func (s *MemberState) flags() [10]flagOf {
	return [...]flagOf{
		{&s.IgnoreGap, flagIgnoreGap}, {&s.Live, flagLive}, {&s.Slow, flagSlow}, {&s.Summed, flagSummed},
		{&s.Close, flagClose}, {&s.HeadOnly, flagHeadOnly}, {&s.Introduce, flagIntroduce}, {&s.Last, flagLast},
		{&s.Foreign, flagForeign}, {&s.Expired, flagExpired},
	}
}

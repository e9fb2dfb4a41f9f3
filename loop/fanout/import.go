package fanout

import (
	"errors"
	"fmt"
	"slices"

	"peal/loop/ring"
)

// Importer makes members of the data that an Exporter of another process has made of its own.
type Importer struct {
	fan   *Fan
	names Names
	rests [][]byte
}

// NewImporter returns an Importer for members of one Exporter, whose Rests it keeps.
func (f *Fan) NewImporter(names Names, rests [][]byte) *Importer {
	return &Importer{f, names, rests}
}

// ErrState: a MemberState contradicts itself. Errors of Member wrap it, and say what is wrong.
var ErrState = errors.New("fanout: the state of the member cannot be taken over")

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrState, fmt.Sprintf(format, args...))
}

// Member has the member in slot, which was just attached, go on where s says. Nothing is sent
// before the next Flush. It keeps s.Private. After an error nothing has changed.
//
// What the log has behind s.Position comes from the Source, or by the ring if the Fan has
// not applied it yet.
func (i *Importer) Member(slot uint32, s *MemberState) error {
	f := i.fan
	m := f.member(slot)
	k, origin, err := i.check(s)
	if err != nil {
		return err
	}
	if len(s.Channels) > 0 {
		v := f.find(s.Channels, k, s.OneShot)
		if v.oneShot != s.OneShot {
			return bad("encoding %q is one of polls here, or of streams, and was not", s.Encoding) // v has members, so it need not go
		}
		if s.OneShot && v.most == 0 {
			v.most = uint16(min(f.limits.AnswerMessages, maxMost))
			if s.Most > 0 {
				v.most = min(v.most, s.Most)
			}
		}
		f.charge(len(s.Channels) * costJoined)
		f.join(slot, m, v)
	}
	m.position, m.origin = s.Position, origin
	for _, o := range s.flags() {
		if *o.on && o.flag != flagSummed {
			m.flags |= o.flag
		}
	}
	f.Adopt(slot, s.Adopted)
	if s.Summed {
		f.beginSum(slot, m, k)
		*f.sum(slot) = s.Sum
	}
	if m.view != 0 {
		i.marks(slot, m, s)
	}
	if s.Waits {
		i.lane(slot, m, s)
	}
	if s.Full {
		m.flags |= flagFull
		f.stats.Stalled++
	} else if m.lane != 0 || f.owed(m) {
		f.queueBehind(slot, m)
	}
	f.limitHeld()
	return nil
}

// check returns what the names in s mean here.
func (i *Importer) check(s *MemberState) (k ring.Encoding, origin uint16, err error) {
	width := len(s.Channels)
	k, known := i.names.EncodingOf(s.Encoding)
	origin, may := i.names.OriginOf(s.Origin)
	switch {
	case width > 0 && !known:
		return 0, 0, bad("encoding %q is not known", s.Encoding)
	case !may:
		return 0, 0, bad("origin %q cannot be kept", s.Origin)
	case !ascending(s.Channels):
		return 0, 0, bad("channels are not sorted, or one of them is empty or there twice")
	case s.OneShot && width == 0:
		return 0, 0, bad("a poll without a channel")
	case s.Rest < 0 || s.Rest > len(i.rests) || s.Missing < 0:
		return 0, 0, bad("rest %d of %d", s.Rest, len(i.rests))
	case s.Rest > 0 && (s.Missing == 0 || s.Missing > len(i.rests[s.Rest-1])) || s.Rest == 0 && s.Missing > 0:
		return 0, 0, bad("%d bytes of rest %d are missing", s.Missing, s.Rest)
	case !s.Waits && (s.Rest > 0 || len(s.Private) > 0):
		return 0, 0, bad("private bytes that do not wait")
	case s.Answers < 0 || s.Answers > len(s.Private):
		return 0, 0, bad("%d bytes of answers among %d", s.Answers, len(s.Private))
	case width > 0 && s.Summed != (i.fan.summing.summer != nil && i.fan.summing.summer.Sums(k)):
		return 0, 0, bad("encoding %q has sums here, or had them, and not both", s.Encoding)
	}
	for _, mark := range [][]uint64{s.Told, s.Had, s.Skip} {
		if len(mark) != 0 && len(mark) != width {
			return 0, 0, bad("%d marks for %d channels", len(mark), width)
		}
	}
	if (len(s.Had) == 0) != (len(s.Skip) == 0) {
		return 0, 0, bad("marks of what it has, and none of what it has asked for, or the reverse")
	}
	return k, origin, nil
}

// ascending reports whether names are sorted, each once, and none is empty.
func ascending(names []string) bool {
	last := ""
	for _, name := range names {
		if name <= last {
			return false
		}
		last = name
	}
	return true
}

// marks sets what single channels of the member differ in from its position.
func (i *Importer) marks(slot uint32, m *member, s *MemberState) {
	k := &marks{}
	if len(s.Told) > 0 {
		k.told = slices.Clone(s.Told)
	}
	if len(s.Had) > 0 {
		k.had, k.skip = slices.Clone(s.Had), slices.Clone(s.Skip)
	}
	i.fan.setMarks(slot, m, k)
}

// lane gives the member its private bytes back.
func (i *Importer) lane(slot uint32, m *member, s *MemberState) {
	l := i.fan.laneOf(slot, m)
	if s.Rest > 0 {
		rest := i.rests[s.Rest-1]
		l.half = rest[len(rest)-s.Missing:]
		i.fan.pin(l)
	}
	l.buf, l.answers = slices.Clip(s.Private), s.Answers
	i.fan.held += len(l.buf)
}

package fanout

import (
	"slices"

	"peal/loop/ring"
)

// Namer is an Encoder whose bytes name the channels of a message, and do not show all of
// these names to every subscriber.
type Namer interface {
	// Hidden returns those of m.Also that the bytes of m in encoding k lack because not every
	// subscriber may read them, nil for none. It is called for messages with further channels only.
	Hidden(m *ring.Message, k ring.Encoding) []string

	// Show returns a message that differs from m in its bytes only: they have these names, too,
	// which Hidden has returned.
	Show(m *ring.Message, names []string) *ring.Message
}

// shows is how many messages that have names shown a Fan remembers.
const shows = 8

// showing is what a Fan has for messages with hidden names. Views whose subscribers have the
// same of these channels share a message.
type showing struct {
	namer Namer // nil: nothing is hidden
	done  [shows]shown
	next  int
	names []string
}

type shown struct {
	of    *ring.Message
	names []string
	m     *ring.Message
}

// shown returns m as the subscribers of v receive it: with the names of all of their channels.
func (f *Fan) shown(m *ring.Message, v *view) *ring.Message {
	if len(m.Also) == 0 || f.showing.namer == nil {
		return m
	}
	return f.show(m, v.encoding, func(c *channel) bool {
		if v.several == nil {
			return v.only == c
		}
		return slices.ContainsFunc(v.several.bundles, func(b *bundle) bool { return b.name() == c.name() })
	})
}

// shownShared returns m as the subscribers of a bundle receive it: with the name of the
// bundle's channel. A view with another channel of m merges the strips of both, see gatherInto.
func (f *Fan) shownShared(m *ring.Message, b *bundle) *ring.Message {
	if len(m.Also) == 0 || f.showing.namer == nil {
		return m
	}
	return f.show(m, b.encoding, func(c *channel) bool { return c.name() == b.name() })
}

func (f *Fan) show(m *ring.Message, k ring.Encoding, has func(c *channel) bool) *ring.Message {
	t := &f.showing
	t.names = t.names[:0]
	for _, name := range t.namer.Hidden(m, k) {
		f.charge(costMatched)
		if c := f.channels.find(matcher{name}); c != nil && has(c) && !slices.Contains(t.names, name) {
			t.names = append(t.names, name)
		}
	}
	if len(t.names) == 0 {
		return m
	}
	for i := range t.done {
		if d := &t.done[i]; d.of == m && slices.Equal(d.names, t.names) {
			return d.m
		}
	}
	names := slices.Clone(t.names)
	d := &t.done[t.next%shows]
	*d = shown{m, names, t.namer.Show(m, names)}
	t.next++
	return d.m
}

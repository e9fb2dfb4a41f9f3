package presence

import (
	"slices"
	"strings"
)

// order has the members of a channel, sorted by client: a list of short sorted
// lists, so that an insertion or removal moves a chunk at most, and a page can begin
// anywhere. Lookups are two binary searches; there is no map beside it.
type order struct {
	chunks [][]*member // none is empty
	count  int
}

// chunkMembers is the length of the longest chunk: 256 pointers are 2 KiB.
const chunkMembers = 256

// find returns the place of client, or where it would be inserted.
func (o *order) find(client string) (chunk, place int, found bool) {
	chunk, _ = slices.BinarySearchFunc(o.chunks, client, func(c []*member, client string) int {
		return strings.Compare(c[len(c)-1].person.client(), client)
	})
	if chunk == len(o.chunks) {
		if chunk == 0 {
			return 0, 0, false
		}
		chunk--
		return chunk, len(o.chunks[chunk]), false
	}
	place, found = slices.BinarySearchFunc(o.chunks[chunk], client, func(m *member, client string) int {
		return strings.Compare(m.person.client(), client)
	})
	return chunk, place, found
}

// get returns the member, nil if there is none.
func (o *order) get(client string) *member {
	if chunk, place, found := o.find(client); found {
		return o.chunks[chunk][place]
	}
	return nil
}

// insert adds m, whose client must not be in it.
func (o *order) insert(m *member) {
	o.count++
	if len(o.chunks) == 0 {
		o.chunks = [][]*member{{m}}
		return
	}
	i, place, _ := o.find(m.person.client())
	if c := o.chunks[i]; len(c) == chunkMembers {
		half := len(c) / 2
		if place == len(c) && i == len(o.chunks)-1 {
			half = place // they come in order: this chunk stays full
		}
		o.chunks = slices.Insert(o.chunks, i+1, slices.Clone(c[half:]))
		clear(c[half:])
		o.chunks[i] = c[:half]
		if place >= half && (place > half || half == len(c)) {
			i, place = i+1, place-half
		}
	}
	o.chunks[i] = slices.Insert(o.chunks[i], place, m)
}

// remove removes the member, which must be in it.
func (o *order) remove(client string) {
	o.count--
	i, place, _ := o.find(client)
	c := slices.Delete(o.chunks[i], place, place+1)
	o.chunks[i] = c
	switch {
	case len(c) == 0:
		o.chunks = slices.Delete(o.chunks, i, i+1)
	case i+1 < len(o.chunks) && len(c)+len(o.chunks[i+1]) <= chunkMembers/2:
		o.chunks[i] = append(c, o.chunks[i+1]...)
		o.chunks = slices.Delete(o.chunks, i+1, i+2)
	}
}

// after calls f for the members after client, in order, until it returns false.
func (o *order) after(client string, f func(*member) bool) {
	i, place, found := o.find(client)
	if found {
		place++
	}
	for ; i < len(o.chunks); i, place = i+1, 0 {
		for _, m := range o.chunks[i][place:] {
			if !f(m) {
				return
			}
		}
	}
}

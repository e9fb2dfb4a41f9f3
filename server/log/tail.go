package log

// Tail is a reader that an engine feeds with every entry, in order. Each has its
// own position, and its own answer to "I cannot keep up":
//
//   - One that must not miss anything, and cannot wait, refuses: Room says no, and
//     publishers get ErrFull. The hub does, because a loop reads at its own pace.
//   - One that is small always has Room: it applies what it needs and skips the rest.
//     Control state is read so.
//   - One that may wait always has Room, too. It keeps nothing it cannot hold, notes
//     that it is behind, and reads on with the engine's Reader. Wake tells it that
//     there is more, so it does not poll.
type Tail interface {
	// Room reports whether that many entries and bytes can be applied now. The
	// engine asks under its append lock, before it numbers anything. Control entries
	// are not counted: they have room in every tail.
	Room(entries, bytes int) bool

	// Apply takes the next entries. It runs under the append lock: no I/O, no
	// waiting. Sequences increase; they may have holes, and the epoch may have
	// changed since the entries before (Lineage). If the engine is one that nodes share, a Lose may be
	// followed by control entries that are within what was lost.
	Apply(batch []*Entry)

	// Wake runs after the append lock was released, once for one or more
	// Applies. It must not block.
	Wake()
}

// IsControl reports whether a batch is one of control entries.
func IsControl(batch []*Entry) bool { return len(batch) > 0 && batch[0].Kind == KindControl }

// Tails feeds several tails in their order. An entry is accepted where all have room.
type Tails []Tail

// Room reports whether all have room.
func (t Tails) Room(entries, bytes int) bool {
	for _, tail := range t {
		if !tail.Room(entries, bytes) {
			return false
		}
	}
	return true
}

// Apply gives each the batch, which none of them may change.
func (t Tails) Apply(batch []*Entry) {
	for _, tail := range t {
		tail.Apply(batch)
	}
}

// Wake wakes each.
func (t Tails) Wake() {
	for _, tail := range t {
		tail.Wake()
	}
}

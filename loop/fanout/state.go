package fanout

import (
	"bytes"
	"slices"

	"peal/loop/deflate"
	"peal/loop/ring"
)

// Names has names for what is a number in one process, and another number in the next
// version perhaps.
type Names interface {
	// EncodingName returns the name of k.
	EncodingName(k ring.Encoding) string
	// EncodingOf returns the encoding of that name; ok is false if there is none.
	EncodingOf(name string) (k ring.Encoding, ok bool)

	// OriginName returns the name of a Subscription.Origin, "" for 0.
	OriginName(origin uint16) string
	// OriginOf returns the Subscription.Origin of that name; ok is false if it cannot have one.
	OriginOf(name string) (origin uint16, ok bool)
}

// MemberState is a member as plain data, for a Fan of another process. Zero values are those of a
// member that receives nothing. Slices may be shared with the Fan that has made it: they are
// not changed, and are valid until that Fan is used again.
type MemberState struct {
	Adopted *[16]byte // see Fan.Adopt

	// The subscription; without Channels there is none.
	Channels []string // sorted
	Encoding string
	Position uint64 // it has everything on its channels up to here, but for what marks say

	// Marks: nil, or one sequence for each of Channels.
	Told []uint64 // what is gone up to here needs no notice
	Had  []uint64 // it has all up to here
	Skip []uint64 // it has asked for nothing up to here

	// Of a stream.
	IgnoreGap bool
	Live      bool        // it had all there was at least once
	Slow      bool        // its socket was full while it was live, and it has not caught up since
	Summed    bool        // it has a sum: its encoding is that of a Summer
	Sum       deflate.Sum // of what it was sent

	// Of a poll.
	OneShot   bool
	Most      uint16 // 0: the limit of the server
	Origin    string
	Close     bool
	HeadOnly  bool
	Introduce bool
	Last      bool // the server was going away
	Foreign   bool // the cursor meant nothing, and it was not told yet
	Expired   bool // its time is up

	// What its socket has not taken.
	Full    bool   // the kernel says when it has room
	Waits   bool   // private bytes wait, or Events.Idle is due
	Rest    int    // 1 + index in Exporter.Rests of what it is sent first, 0 for none
	Missing int    // so many bytes at the end of that
	Private []byte // what it is sent then
	Answers int    // of these, bytes that are not under Limits.LaneBytes
}

// Settled reports whether what the Fan knows beside its members can be given up: no bytes
// are with the sender, and messages wait for members only whose sockets are full, or who
// read the history anyway. Without new messages, each Flush leads there.
func (f *Fan) Settled() bool {
	return f.outstanding == 0 && f.strips == 0 && f.dirty.empty() && f.due.empty() && len(f.happened) == 0
}

// Own makes the slices of s its own: they are valid for ever.
func (s *MemberState) Own() {
	s.Told, s.Had, s.Skip = slices.Clone(s.Told), slices.Clone(s.Had), slices.Clone(s.Skip)
	s.Private = bytes.Clone(s.Private)
}

// IsBut reports whether s is what since was, but for Position, Live, Slow, Full and Sum, which change
// while a member receives.
func (s *MemberState) IsBut(since *MemberState) bool {
	return s.Encoding == since.Encoding && slices.Equal(s.Channels, since.Channels) && (s.Adopted == nil) == (since.Adopted == nil) &&
		(s.Adopted == nil || *s.Adopted == *since.Adopted) &&
		slices.Equal(s.Told, since.Told) && slices.Equal(s.Had, since.Had) && slices.Equal(s.Skip, since.Skip) &&
		s.IgnoreGap == since.IgnoreGap && s.Summed == since.Summed && s.OneShot == since.OneShot && s.Most == since.Most &&
		s.Origin == since.Origin && s.Close == since.Close && s.HeadOnly == since.HeadOnly && s.Introduce == since.Introduce &&
		s.Last == since.Last && s.Foreign == since.Foreign && s.Expired == since.Expired &&
		s.Waits == since.Waits && s.Rest == since.Rest && s.Missing == since.Missing && s.Answers == since.Answers && bytes.Equal(s.Private, since.Private)
}

// Quiet reports whether the member has nothing of its own: nothing private waits for its socket, and no bytes are with
// the sender. NewQuietExporter is for such.
func (f *Fan) Quiet(slot uint32) bool {
	m := f.member(slot)
	return m.lane == 0 && m.flight == 0 && m.flags&flagDead == 0
}

package loop

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"

	"peal/loop/frame"
)

// What changes of a connection that is only used, between Ahead and Export: its position,
// what is left of its times, and some flags. All else is compared.

// Bits of the first byte of a change.
const (
	changeLive = 1 << iota
	changeSlow
	changeFull
	changeUsed
	changeSummed
)

// ErrChange: what should be a change of a ConnState is none.
var ErrChange = errors.New("loop: the change of a connection is damaged")

// AppendChange appends to dst what has changed of a connection since Ahead has described it, for
// Change to apply to the copy of another process. ok is false if that does not say all: then h
// must be passed on as it is.
func (h *ConnState) AppendChange(dst []byte, since *ConnState) (out []byte, ok bool) {
	if !h.isBut(since) {
		return dst, false
	}
	r := &h.Receives
	bits := byte(0)
	for i, on := range [...]bool{r.Live, r.Slow, r.Full, h.Used, r.Summed} {
		if on {
			bits |= 1 << i
		}
	}
	dst = append(dst, bits, h.Missed)
	dst = binary.AppendUvarint(dst, r.Position)
	for _, d := range [...]time.Duration{h.Timer, h.Deadline, h.Silent} {
		dst = binary.AppendVarint(dst, int64(d))
	}
	dst = binary.AppendUvarint(dst, uint64(h.InflowBytes))
	dst = binary.AppendUvarint(dst, uint64(h.InflowFrames))
	if r.Summed {
		dst = binary.LittleEndian.AppendUint32(dst, r.Sum.CRC)
		dst = binary.LittleEndian.AppendUint32(dst, r.Sum.Length)
	}
	return dst, true
}

// Change makes h, as Ahead has described it, what it was when AppendChange was called, and
// returns what follows in b. After an error h is of no use.
func (h *ConnState) Change(b []byte) (rest []byte, err error) {
	if len(b) < 2 {
		return nil, ErrChange
	}
	bits, missed, b := b[0], b[1], b[2:]
	ok := true
	unsigned := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			ok = false
			return 0
		}
		b = b[n:]
		return v
	}
	signed := func() time.Duration {
		v, n := binary.Varint(b)
		if n <= 0 {
			ok = false
			return 0
		}
		b = b[n:]
		return time.Duration(v)
	}
	r := &h.Receives
	h.Missed = missed
	r.Live, r.Slow, r.Full, h.Used = bits&changeLive != 0, bits&changeSlow != 0, bits&changeFull != 0, bits&changeUsed != 0
	r.Position = unsigned()
	h.Timer, h.Deadline, h.Silent = signed(), signed(), signed()
	h.InflowBytes, h.InflowFrames = uint32(unsigned()), uint32(unsigned())
	if bits&changeSummed != 0 {
		if len(b) < 8 {
			return nil, ErrChange
		}
		r.Sum.CRC, r.Sum.Length = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
		b = b[8:]
	}
	if !ok || (bits&changeSummed != 0) != r.Summed {
		return nil, ErrChange
	}
	return b, nil
}

// isBut reports whether h is what since was, but for what a change says.
func (h *ConnState) isBut(since *ConnState) bool {
	return h.Socket == since.Socket && h.Loop == since.Loop && h.Session == since.Session && h.Kind == since.Kind && h.Dialect == since.Dialect &&
		h.Peer == since.Peer && h.Client == since.Client && h.Proxy == since.Proxy && h.Fresh == since.Fresh &&
		h.Named == since.Named && h.CloseNext == since.CloseNext && h.Answering == since.Answering && h.Continued == since.Continued &&
		h.HalfClosed == since.HalfClosed && h.Publishes == since.Publishes && h.Commands == since.Commands &&
		h.Head == since.Head && h.Began == since.Began && h.Discarded == since.Discarded &&
		sameReader(h.Reader, since.Reader) && bytes.Equal(h.Input, since.Input) && bytes.Equal(h.Front, since.Front) &&
		h.Receives.IsBut(&since.Receives)
}

func sameReader(a, b *frame.State) bool {
	return a == b || a != nil && b != nil && *a == *b
}

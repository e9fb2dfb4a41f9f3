package deflate

import (
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/flate"
)

// Found in a compressed message.
var (
	ErrTooLong = errors.New("deflate: the message is longer than the limit")
	ErrCorrupt = errors.New("deflate: the message is not valid DEFLATE")
)

const (
	// maxStreams is how many streams of DEFLATE one message may consist of. A block with
	// BFINAL ends one, and RFC 7692 §7.2.3.4 allows it in a message; no known client has
	// more than one, and each costs a new start.
	maxStreams = 16

	keptBytes   = 256 << 10 // memory that is kept from one message to the next
	firstBytes  = 4 << 10
	windowBytes = 32 << 10
)

// Inflater decompresses messages one after another. The zero value is ready; it holds
// about 60 KiB after its first use.
type Inflater struct {
	reader io.Reader // of package flate
	packed bytes.Reader
	in     []byte
	out    []byte
}

// Inflate returns the message whose compressed payload is b (RFC 7692 §7.2.2). The
// result is the Inflater's, and valid until the next call. The errors are ErrTooLong,
// which is found before more than limit bytes have been produced or allocated for,
// ErrTables and ErrCorrupt.
func (f *Inflater) Inflate(b []byte, limit int) ([]byte, error) {
	if len(b) == 0 {
		return nil, nil // §7.2.3.6 has one byte for it; some clients send none
	}
	f.in = append(append(f.in[:0], b...), tail+"\x01"+tail...) // and an empty last block
	if len(b) > uncounted {
		if err := checkTables(f.in, limit); err != nil {
			return nil, err
		}
	}
	f.packed.Reset(f.in)
	out, err := f.streams(f.out[:0], limit)
	f.out = out
	if cap(f.out) > keptBytes {
		f.out = nil
	}
	if cap(f.in) > keptBytes {
		f.in = nil
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// streams reads streams until the input ends.
func (f *Inflater) streams(out []byte, limit int) ([]byte, error) {
	for n := 0; n < maxStreams; n++ {
		window := out[max(0, len(out)-windowBytes):]
		if f.reader == nil {
			f.reader = flate.NewReader(&f.packed)
		} else if err := f.reader.(flate.Resetter).Reset(&f.packed, window); err != nil {
			return out, ErrCorrupt
		}
		for {
			if len(out) == cap(out) {
				out = grow(out, limit)
			}
			k, err := f.reader.Read(out[len(out):cap(out)])
			out = out[:len(out)+k]
			if len(out) > limit {
				return out, ErrTooLong
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				return out, ErrCorrupt
			}
		}
		if f.packed.Len() == 0 {
			return out, nil
		}
	}
	return out, ErrCorrupt
}

// grow returns out with more room, of limit+1 bytes at most: one byte more than the
// limit shows that the message is too long.
func grow(out []byte, limit int) []byte {
	n := min(max(2*cap(out), firstBytes), limit+1)
	return append(make([]byte, 0, n), out...)
}

package secure

// HelloSize follows a ClientHello that comes in the pieces of b, and returns how much of it
// was there when it was complete; 0: it is not complete.
func HelloSize(pieces ...[]byte) (n int, err error) {
	var h hello
	var b []byte
	for _, p := range pieces {
		b = append(b, p...)
		whole, err := h.advance(b)
		if whole || err != nil {
			return len(b), err
		}
	}
	return 0, nil
}

// The errors of a ClientHello.
var (
	ErrNotTLS   = errNotTLS
	ErrOversize = errOversize
)

// BuffersAreFound reports whether crypto/tls has the buffers that spare.go looks for.
func BuffersAreFound() bool { return rawInput != 0 && hand != 0 }

// WithoutBuffers runs f as if crypto/tls did not have them.
func WithoutBuffers(f func()) {
	r, h := rawInput, hand
	defer func() { rawInput, hand = r, h }()
	rawInput, hand = 0, 0
	f()
}

package proxied

import (
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"peal/loop"
)

// Config is what a Layer needs.
type Config struct {
	// Trusted reports whether a peer may name its client; the zero Addr is that of the
	// clients of Unix sockets. Any goroutine calls it, once for each connection.
	Trusted func(peer netip.Addr) bool

	// Timeout is how long after its first byte a header must be whole. Default 10 s.
	Timeout time.Duration

	Log *slog.Logger // default slog.Default()
}

// Layer is the PROXY protocol for the loops of one server. Fixed at New.
type Layer struct {
	config  Config
	awaited marks

	// Shared.
	headers, malformed, late atomic.Uint64
}

// New returns a Layer.
func New(c Config) *Layer {
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Layer{config: c}
}

// Stats is what a Layer has counted.
type Stats struct {
	Headers   uint64 // that were read
	Malformed uint64 // for which a connection was closed
	Late      uint64 // likewise, because they were not whole in time
}

// Stats may be called by any goroutine.
func (l *Layer) Stats() Stats {
	return Stats{l.headers.Load(), l.malformed.Load(), l.late.Load()}
}

// Open puts the layer on the kernels that below opens.
func (l *Layer) Open(below loop.OpenKernel) loop.OpenKernel {
	return func(number int, h loop.Handler) (loop.Kernel, error) {
		k := &kernel{layer: l, above: h, begun: map[int32]*beginning{}}
		var err error
		if k.Kernel, err = below(number, &handler{h, k}); err != nil {
			return nil, err
		}
		return k, nil
	}
}

// handler is the loop as the kernel below sees it.
type handler struct {
	loop.Handler
	kernel *kernel
}

// Tick ends the connections whose header is late, before the loop sees to its own.
func (h *handler) Tick() {
	h.kernel.expire()
	h.Handler.Tick()
}

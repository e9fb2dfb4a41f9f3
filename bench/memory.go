package bench

import (
	"context"
	"errors"

	"peal/loadtest"
)

// reader reads amounts of memory in bytes, of one kind or several.
type reader func(context.Context, *Server) (Sample, error)

// growth opens Many connections on a fresh server and returns the growth of each
// amount per connection.
func (c *Config) growth(ctx context.Context, l *Command, spec loadtest.Spec, read reader) (each Sample, err error) {
	return OnServer(ctx, l, c.Loops, func(s *Server) (Sample, error) {
		sleep(ctx, c.Settle/4)
		before, err := read(ctx, s)
		if err != nil {
			return nil, err
		}
		spec.Connections = c.Many
		if spec.Transport == loadtest.Poll {
			spec.Query = "timeout=120" // longer than the measurement
		}
		err = withPool(ctx, s, spec, func(*loadtest.Pool) error {
			sleep(ctx, c.Settle)
			after, err := read(ctx, s)
			for i := range after {
				each = append(each, (after[i]-before[i])/float64(c.Many))
			}
			return err
		})
		return each, err
	})
}

// readResident reads the server's resident memory, as an operator sees it. It
// depends on when the collector last ran.
func readResident(_ context.Context, s *Server) (Sample, error) {
	m, err := loadtest.ReadMemory(s.PID)
	return Sample{float64(m.Resident)}, err
}

// readLive reads the resident memory and, if the server reports it, Go's live heap,
// which is the same in each run.
func readLive(ctx context.Context, s *Server) (Sample, error) {
	v, err := readResident(ctx, s)
	if err != nil || s.Admin == "" {
		return v, err
	}
	var h counters
	for range 2 { // a sync.Pool keeps its objects over one collection
		if h, err = readHeap(ctx, s, "heap?gc=1&debug=1"); errors.Is(err, loadtest.ErrStatus) {
			return v, nil
		}
	}
	return append(v, h[heapHeld]), err
}

// readKinds reads the server's resident memory, Go's heap in use, and the kernel's
// memory.
func (c *Config) readKinds(ctx context.Context, s *Server) (Sample, error) {
	v, err := readResident(ctx, s)
	if err != nil {
		return nil, err
	}
	heap, err := c.Metrics.read(ctx, s, "go_memstats_heap_inuse_bytes")
	if err != nil {
		return nil, err
	}
	kernel, err := loadtest.KernelMemory()
	return append(v, sum(heap), float64(kernel)), err
}

func sum(v []float64) (s float64) {
	for _, x := range v {
		s += x
	}
	return s
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

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
		if h, err = readHeap(ctx, s, "heap?gc=1&debug=1"); errors.Is(err, errStatus) {
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
	kernel, err := kernelMemory()
	return append(v, sum(heap), kernel), err
}

// kernelMemory is the size of the kernel's slabs (sockets, files, epoll entries) and
// of the buffers of TCP sockets, in bytes.
func kernelMemory() (bytes float64, err error) {
	for _, from := range []struct {
		file, line, name string
		unit             int
	}{{"/proc/meminfo", "Slab:", "Slab:", 1 << 10}, {"/proc/net/sockstat", "TCP:", "mem", os.Getpagesize()}} {
		text, err := os.ReadFile(from.file)
		if err != nil {
			return 0, fmt.Errorf("kernel memory: %w", err)
		}
		n, err := fieldAfter(string(text), from.line, from.name)
		if err != nil {
			return 0, fmt.Errorf("kernel memory: %s: %w", from.file, err)
		}
		bytes += float64(n) * float64(from.unit)
	}
	return bytes, nil
}

// fieldAfter returns the number after name in the line that begins with line.
func fieldAfter(text, line, name string) (int, error) {
	for l := range strings.Lines(text) {
		if !strings.HasPrefix(l, line) {
			continue
		}
		fields := strings.Fields(l)
		for i := range len(fields) - 1 {
			if fields[i] == name {
				return strconv.Atoi(fields[i+1])
			}
		}
	}
	return 0, fmt.Errorf("no %s after %s", name, line)
}

func sum(v []float64) (s float64) {
	for _, x := range v {
		s += x
	}
	return s
}

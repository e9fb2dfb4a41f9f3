package bench

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"peal/loadtest"
)

// MemoryExperiments read the three kinds of memory that an idle connection
// costs: what is resident of the server's own, how much of that Go's heap holds,
// and the kernel's. The kernel's is the whole machine's growth, so it has both
// ends of each connection in it, the client's too.
//
// The heap is in use, not alive: what the collector has not taken yet counts. It
// needs metrics.
func (c *Config) MemoryExperiments() []Experiment {
	var all []Experiment
	for _, t := range []struct {
		transport loadtest.Transport
		name      string
	}{{loadtest.WebSocket, "WebSocket"}, {loadtest.SSE, "SSE"}, {loadtest.Poll, "waiting poll"}} {
		row := func(kind string) Row { return Row{What: kind + ", " + t.name, Unit: "bytes"} }
		resident := row("resident")
		resident.Target = Target{Of: Value, AtMost: true, Limit: 640}
		all = append(all, Experiment{
			Key:  "memory-" + string(t.transport),
			Rows: []Row{resident, row("Go heap in use"), row("kernel, both ends")},
			A: func(ctx context.Context) (Sample, error) {
				return c.growth(ctx, loadtest.Spec{Transport: t.transport, Channels: 1}, c.readKinds)
			},
		})
	}
	return all
}

// growth opens Many connections on a fresh server and returns by how much what
// read returns has grown, for each.
func (c *Config) growth(ctx context.Context, spec loadtest.Spec, read func(context.Context, *Server) (Sample, error)) (each Sample, err error) {
	err = withServer(ctx, c.Peal, c.Loops, func(s *Server) error {
		sleep(ctx, c.Settle/4)
		before, err := read(ctx, s)
		if err != nil {
			return err
		}
		spec.Addr, spec.Connections = s.Addr, c.Many
		s.Subscribe(&spec)
		if spec.Transport != loadtest.WebSocket {
			spec.Path = "" // the dialect's is the WebSocket's
		}
		if spec.Transport == loadtest.Poll {
			spec.Query = "timeout=120" // longer than the measurement
		}
		return withPool(ctx, spec, func(*loadtest.Pool) error {
			sleep(ctx, c.Settle)
			after, err := read(ctx, s)
			for i := range after {
				each = append(each, (after[i]-before[i])/float64(c.Many))
			}
			return err
		})
	})
	return each, err
}

// readKinds is what is held now, in bytes.
func (c *Config) readKinds(ctx context.Context, s *Server) (Sample, error) {
	memory, err := loadtest.ReadMemory(s.PID)
	if err != nil {
		return nil, err
	}
	heap, err := c.Metrics.read(ctx, s, "go_memstats_heap_inuse_bytes")
	if err != nil {
		return nil, err
	}
	kernel, err := kernelMemory()
	return Sample{float64(memory.Resident), sum(heap), kernel}, err
}

// kernelMemory is what the kernel holds in its slabs (sockets, files, epoll's
// entries), and in the buffers of TCP sockets, in bytes.
func kernelMemory() (bytes float64, err error) {
	for _, from := range []struct {
		file, line, name string
		unit             int
	}{{"/proc/meminfo", "Slab:", "Slab:", 1 << 10}, {"/proc/net/sockstat", "TCP:", "mem", os.Getpagesize()}} {
		text, err := os.ReadFile(from.file)
		if err != nil {
			return 0, fmt.Errorf("kernel's memory: %w", err)
		}
		n, err := fieldAfter(string(text), from.line, from.name)
		if err != nil {
			return 0, fmt.Errorf("kernel's memory: %s: %w", from.file, err)
		}
		bytes += float64(n) * float64(from.unit)
	}
	return bytes, nil
}

// fieldAfter is the number that follows name in the line that begins with line.
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

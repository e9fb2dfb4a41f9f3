package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// heap is how many objects, and bytes, a Go program has allocated since its
// start, and how many bytes of them it holds.
type heap struct{ objects, bytes, held float64 }

func (h heap) minus(o heap) heap {
	return heap{h.objects - o.objects, h.bytes - o.bytes, h.held - o.held}
}

// readHeap asks the profiles on the admin listener (net/http/pprof). With
// debug=1 the profile ends with runtime.MemStats, for which the runtime stops
// the world and counts what each processor has allocated from its own cache:
// exact to the object. go_memstats_mallocs_total is not: it leaves out what is
// in these caches, up to some thousand objects of each processor.
func readHeap(ctx context.Context, s *Server) (heap, error) {
	return readProfile(ctx, s, "allocs?debug=1")
}

// readLive is readHeap after collections, so that held is what is alive. The
// first one leaves what pools have kept for a second.
func readLive(ctx context.Context, s *Server) (h heap, err error) {
	for range 2 {
		if h, err = readProfile(ctx, s, "heap?gc=1&debug=1"); err != nil {
			return h, err
		}
	}
	return h, nil
}

func readProfile(ctx context.Context, s *Server, name string) (h heap, err error) {
	err = get(ctx, "http://"+s.Admin+"/debug/pprof/"+name, func(body io.Reader) error {
		h, err = parseHeap(body)
		return err
	})
	return h, err
}

func parseHeap(r io.Reader) (h heap, err error) {
	found := 0
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		for _, f := range []struct {
			name string
			to   *float64
		}{{"# Mallocs = ", &h.objects}, {"# TotalAlloc = ", &h.bytes}, {"# HeapAlloc = ", &h.held}} {
			rest, ok := strings.CutPrefix(lines.Text(), f.name)
			if !ok {
				continue
			}
			if *f.to, err = strconv.ParseFloat(strings.TrimSpace(rest), 64); err != nil {
				return h, fmt.Errorf("%s%w", f.name, err)
			}
			found++
		}
	}
	if found != 3 && lines.Err() == nil {
		return h, fmt.Errorf("the profile has %d of the 3 numbers of runtime.MemStats", found)
	}
	return h, lines.Err()
}

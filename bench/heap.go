package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// heap is how many objects, and bytes, a Go program has allocated since its start.
type heap struct{ objects, bytes float64 }

func (h heap) minus(o heap) heap { return heap{h.objects - o.objects, h.bytes - o.bytes} }

// readHeap asks the profiles on the admin listener (net/http/pprof). With
// debug=1 the profile ends with runtime.MemStats, for which the runtime stops
// the world and counts what each processor has allocated from its own cache:
// exact to the object. go_memstats_mallocs_total is not: it leaves out what is
// in these caches, up to some thousand objects of each processor.
func readHeap(ctx context.Context, s *Server) (h heap, err error) {
	err = get(ctx, "http://"+s.Admin+"/debug/pprof/allocs?debug=1", func(body io.Reader) error {
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
		}{{"# Mallocs = ", &h.objects}, {"# TotalAlloc = ", &h.bytes}} {
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
	if found != 2 && lines.Err() == nil {
		return h, fmt.Errorf("the profile has %d of the 2 numbers of runtime.MemStats", found)
	}
	return h, lines.Err()
}

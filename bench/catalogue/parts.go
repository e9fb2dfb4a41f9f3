package catalogue

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"

	"peal/bench/record"
)

// parts runs the micro-benchmarks of the code that each message passes.
func (k *Kit) parts(ctx context.Context, r *record.Record) (err error) {
	length := "50ms"
	if k.Quick {
		length = "5ms"
	}
	args := []string{"go", "test", "-run", "^$", "-bench", "^Benchmark(Publish|Next|Flush|Singles|Append|Request)$", "-benchmem",
		"-benchtime", length, "-count", strconv.Itoa(k.rounds(6)),
		"./loop/ring", "./loop/frame", "./loop/fanout", "./server/hub", "./server/httpapi"}
	r.Command = k.shown(args)
	k.say("$ %s", r.Command)
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	var out bytes.Buffer
	c.Dir, c.Stdout, c.Stderr = k.Root, io.MultiWriter(&out, k.Log), k.Log
	if err := c.Run(); err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	r.Rows, err = partRows(&out)
	return err
}

// partRows returns two rows for each benchmark: the time of its smallest unit and the
// allocations per operation, with a sample for each run.
func partRows(from io.Reader) (rows []record.Row, err error) {
	at := map[[2]string]int{}
	add := func(key, what string, v float64) {
		i, known := at[[2]string{key, what}]
		if !known {
			i = len(rows)
			at[[2]string{key, what}] = i
			rows = append(rows, record.Row{Key: key, What: what})
		}
		rows[i].A = append(rows[i].A, v)
	}
	lines := benchfmt.NewReader(from, "go test")
	for lines.Scan() {
		b, ok := lines.Result().(*benchfmt.Result)
		if !ok {
			continue // units, or not a benchmark
		}
		name, parts := b.Name.Parts()
		if last := len(parts) - 1; last >= 0 && parts[last][0] == '-' {
			parts = parts[:last] // the number of processors
		}
		key := strings.TrimPrefix(b.GetConfig("pkg"), "peal/") + " " + string(name) + string(bytes.Join(parts, nil))
		unit := "sec/op"
		if _, finer := b.Value("sec/delivery"); finer {
			unit = "sec/delivery"
		}
		for _, u := range []string{unit, "allocs/op"} {
			v, ok := b.Value(u)
			if !ok {
				return nil, fmt.Errorf("%s has no %s", key, u)
			}
			if what, isTime := strings.CutPrefix(u, "sec/"); isTime {
				u, v = "ns/"+what, math.Round(v*1e12)/1e3 // printed in ns, with few digits
			}
			add(key, u, v)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("output of go test: %w", err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("go test ran no benchmark")
	}
	return rows, nil
}

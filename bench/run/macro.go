package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"runtime"
	"strings"

	"peal/bench"
)

// macroOptions are the flags of the macro-benchmarks.
type macroOptions struct {
	on    bool
	only  *regexp.Regexp
	count int
	gate  bool
}

func (o *macroOptions) flags(f *flag.FlagSet) {
	f.BoolFunc("macro", "only the macro-benchmarks (--macro=`regexp`: those with such a name), in Go's benchmark format: benchstat reads it", func(value string) (err error) {
		o.on = true
		if value != "true" {
			o.only, err = regexp.Compile(value)
		}
		return err
	})
	f.IntVar(&o.count, "count", 1, "how many samples of each macro-benchmark")
	f.BoolVar(&o.gate, "gate-sizes", false, "the small numbers with which two builds are compared")
}

// macros are those that were asked for.
func (o *options) macros() []bench.Macro {
	var all []bench.Macro
	for _, m := range o.config.Macros() {
		if o.macro.only == nil || o.macro.only.MatchString(m.Name) {
			all = append(all, m)
		}
	}
	return all
}

// runMacros takes one sample of each macro-benchmark, then the next of each, so
// that a slow minute of the machine falls on all. What benchstat must not
// compare by is a comment.
func (o *options) runMacros(ctx context.Context, stdout, stderr io.Writer) error {
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		commit = []byte("unknown") // outside of a checkout
	}
	if _, err := fmt.Fprintf(stdout, "# %s, commit %s, %s, runs of %v\n", o.config.Peal.Name(), strings.TrimSpace(string(commit)), runtime.Version(), o.config.Length); err != nil {
		return err
	}
	out := bench.NewSampleWriter(stdout)
	failed := 0
	for range o.macro.count {
		for _, m := range o.macros() {
			v, err := m.Sample(ctx, o.config.Peal)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				fmt.Fprintf(stderr, "%s: %v\n", m.Name, err)
				failed++
				continue
			}
			if err := out.Write(m.Name, v); err != nil {
				return err
			}
		}
	}
	if failed > 0 {
		return errors.New("some samples could not be taken")
	}
	return nil
}

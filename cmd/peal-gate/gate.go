package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"peal/bench"
	"peal/bench/gate"
	"peal/bench/record"
	"peal/loadtest/report"
	"peal/loadtest/scenario"
)

// contest is a run and its result.
type contest struct {
	*options
	stderr io.Writer
	result *gate.Result
	kept   *gate.Result // of --baseline
	macros []bench.Macro
	// The servers; baseServer is nil if only head is measured.
	baseServer, headServer *bench.Command
}

// judge does all of it: read top to bottom.
func judge(ctx context.Context, o *options, macros []bench.Macro, stdout, stderr io.Writer) (err error) {
	c := &contest{options: o, stderr: stderr, macros: macros, result: &gate.Result{
		Schema: gate.Schema, Began: time.Now().UTC().Truncate(time.Millisecond), Environment: record.Here(), ExactOnly: o.exactOnly, Allowed: o.allow}}
	if err := c.readBaseline(); err != nil {
		return err
	}
	if o.scenario != "" {
		err = c.commands()
	} else {
		var checkout *gate.Checkout
		if checkout, err = gate.OpenCheckout(ctx, o.repository); err != nil {
			return usage(err)
		}
		defer func() { err = errors.Join(err, checkout.Close()) }()
		err = c.builds(ctx, checkout)
	}
	if err != nil {
		return err
	}
	if o.pairs > 0 {
		c.result.Config.Pairs = o.pairs
	}
	if c.macros = slices.DeleteFunc(slices.Clone(c.macros), func(m bench.Macro) bool { return !c.selects(m.Name) }); len(c.macros) == 0 {
		return usagef("--only %q, --set %q: no benchmark has such a name", o.only, o.set)
	}
	samples, err := c.measure(ctx)
	if err != nil {
		return err
	}
	c.result.Took = float64(int(time.Since(c.result.Began).Seconds()))
	if o.history != "" && c.result.Exit != gate.ExitFailed {
		if err := c.result.Record(o.history); err != nil {
			return err
		}
	}
	if err := c.write(stdout, samples); err != nil {
		return err
	}
	if c.result.Exit == gate.ExitUnstable && o.unstableOK {
		return nil
	}
	if text := outcomes[c.result.Exit]; text != "" {
		return exitError{errors.New(text), c.result.Exit}
	}
	return nil
}

// outcomes are the results that are errors, by exit code.
var outcomes = map[int]string{
	gate.ExitRegression: "regression",
	gate.ExitUnstable:   "unstable: the samples do not show whether it is worse",
	gate.ExitFailed:     "could not measure",
}

// selects reports whether --only and --set select a benchmark.
func (c *contest) selects(benchmark string) bool {
	return c.onlyRE.MatchString(benchmark) && c.result.Config.Selects(benchmark)
}

// readBaseline reads --baseline. Its noisy figures are not paired with head's, so they are
// not judged.
func (c *contest) readBaseline() (err error) {
	if c.baseline == "" {
		return nil
	}
	if c.kept, err = gate.ReadResult(c.baseline); err != nil {
		return usage(fmt.Errorf("--baseline: %w", err))
	}
	c.kept.Figures = slices.DeleteFunc(c.kept.Figures, func(f gate.Figure) bool { return !c.onlyRE.MatchString(f.Benchmark) })
	if len(c.kept.Figures) == 0 {
		return usagef("--baseline %s: no figures of benchmarks that --only %q matches", c.baseline, c.only)
	}
	c.result.Base = gate.Build{Name: c.baseline, Commit: c.kept.Head.Commit, SHA256: c.kept.Head.SHA256}
	if c.result.ExactOnly = true; !c.exactOnly {
		c.note("Noisy figures are not judged against a file: they need pairs, which --base takes.")
	}
	return nil
}

// commands prepares --base-cmd and --head-cmd.
func (c *contest) commands() error {
	b, err := os.ReadFile(c.scenario)
	if err != nil {
		return usage(fmt.Errorf("--scenario: %w", err))
	}
	s, err := gate.ParseScenario(c.scenario, b)
	if err != nil {
		return usage(fmt.Errorf("%s: %w", c.scenario, err))
	}
	c.result.Config, c.macros = &s.Config, []bench.Macro{s.Macro()}
	c.result.Head.Name = c.headCmd
	c.headServer = shell("head", c.headCmd, s)
	if c.baseCmd != "" {
		c.result.Base.Name = c.baseCmd
		c.baseServer = shell("base", c.baseCmd, s)
		if c.baseCmd == c.headCmd {
			c.note("Both command lines are the same: this is an A/A run.")
		}
	}
	return nil
}

// shell launches a command line with the shell's exec, so that the measured process is
// the server.
func shell(label, line string, s *gate.Scenario) *bench.Command {
	return &bench.Command{Label: label, Args: []string{"/bin/sh", "-c", "exec " + line}, Wait: s.Wait}
}

func (c *contest) note(format string, args ...any) {
	c.result.Notes = append(c.result.Notes, fmt.Sprintf(format, args...))
}

func (c *contest) say(format string, args ...any) { fmt.Fprintf(c.stderr, format+"\n", args...) }

func (c *contest) measure(ctx context.Context) ([]gate.Samples, error) {
	run := gate.Contest{Config: c.result.Config, Base: c.baseServer, Head: c.headServer, Kept: c.kept, ExactOnly: c.result.ExactOnly, Log: c.stderr}
	samples, err := run.Run(ctx, c.macros, c.result)
	if errors.Is(err, gate.ErrPairs) {
		return nil, usage(err)
	}
	if err != nil {
		return nil, fmt.Errorf("measure: %w", err)
	}
	for _, s := range samples {
		for _, err := range []error{s.Base.Err, s.Head.Err} {
			if errors.Is(err, scenario.ErrUsage) {
				return nil, usage(fmt.Errorf("%s: %w", c.scenario, err))
			}
		}
	}
	return samples, nil
}

// write writes all requested files.
func (c *contest) write(stdout io.Writer, samples []gate.Samples) error {
	if err := c.writeSamples(samples); err != nil {
		return err
	}
	if err := report.WriteFile(c.json, stdout, c.result.Write); err != nil {
		return err
	}
	if err := report.WriteFile(c.markdown, stdout, c.result.WriteMarkdown); err != nil {
		return err
	}
	if c.result.Exit == gate.ExitUnstable || c.result.Exit == gate.ExitFailed {
		return nil // figures that must not become a baseline
	}
	return report.WriteFile(c.saveBaseline, stdout, c.result.Keep().Write)
}

func (c *contest) writeSamples(samples []gate.Samples) error {
	if c.benchOut == "" {
		return nil
	}
	if err := os.MkdirAll(c.benchOut, 0o755); err != nil {
		return fmt.Errorf("write samples: %w", err)
	}
	side := func(name string, build gate.Build, of func(*gate.Samples) *gate.Side) error {
		return report.WriteFile(filepath.Join(c.benchOut, name), nil, func(w io.Writer) error {
			// No key names the commit: benchstat compares only samples with the same keys.
			if _, err := fmt.Fprintf(w, "# %s\n", build.Describe()); err != nil {
				return err
			}
			m := c.result.Environment
			out := bench.SamplesOf(w, "goos", "linux", "cpu", m.CPU, "kernel", m.Kernel)
			for i := range samples {
				for _, run := range of(&samples[i]).Runs {
					if err := out.Write(samples[i].Benchmark, run); err != nil {
						return fmt.Errorf("write samples: %w", err)
					}
				}
			}
			return nil
		})
	}
	return errors.Join(side("base.txt", c.result.Base, func(s *gate.Samples) *gate.Side { return &s.Base }),
		side("head.txt", c.result.Head, func(s *gate.Samples) *gate.Side { return &s.Head }))
}

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
	"peal/loadtest/scenario"
)

// contest is a run: what is compared, and what came out.
type contest struct {
	*options
	stderr io.Writer
	result *gate.Result
	kept   *gate.Result // of --baseline
	macros []bench.Macro
	// The launchers; baseServer is nil where only head is measured.
	baseServer, headServer bench.Launcher
}

// gate does all of it: read top to bottom.
func (p *program) gate(ctx context.Context, o *options, stdout, stderr io.Writer) (err error) {
	c := &contest{options: o, stderr: stderr, result: &gate.Result{
		Schema: gate.Schema, Began: time.Now().UTC().Truncate(time.Millisecond), Environment: record.Here(), ExactOnly: o.exactOnly}}
	if err := c.readBaseline(); err != nil {
		return err
	}
	if o.scenario != "" {
		err = c.commands()
	} else {
		var checkout *gate.Checkout
		if checkout, err = gate.OpenCheckout(ctx, o.repository); err != nil {
			return exitError{err, gate.ExitUsage}
		}
		defer func() { err = errors.Join(err, checkout.Close()) }()
		c.macros = p.macros()
		err = c.builds(ctx, checkout)
	}
	if err != nil {
		return err
	}
	c.macros = slices.DeleteFunc(c.macros, func(m bench.Macro) bool { return !o.onlyRE.MatchString(m.Name) })
	if len(c.macros) == 0 {
		return usagef("--only %q: no benchmark has such a name", o.only)
	}
	if o.pairs > 0 {
		c.result.Config.Pairs = o.pairs
	}
	samples, err := c.measure(ctx)
	if err != nil {
		return err
	}
	c.result.Judge(samples)
	c.result.Took = float64(int(time.Since(c.result.Began).Seconds()))
	if err := c.write(stdout, samples); err != nil {
		return err
	}
	return c.outcome()
}

// readBaseline reads --baseline. Figures that another machine measured, or the
// same with another kernel, say nothing about noisy ones here.
func (c *contest) readBaseline() error {
	if c.baseline == "" {
		return nil
	}
	var err error
	if c.kept, err = gate.ReadResult(c.baseline); err != nil {
		return exitError{fmt.Errorf("--baseline: %w", err), gate.ExitUsage}
	}
	c.result.Base = gate.Build{Name: c.baseline, Commit: c.kept.Head.Commit, SHA256: c.kept.Head.SHA256}
	if here, there := c.result.Environment, c.kept.Environment; here != there && !c.exactOnly {
		c.result.ExactOnly = true
		c.note("Noisy figures are not judged: the kept ones come from %d × %s, Linux %s, %s.", there.CPUs, there.CPU, there.Kernel, there.Go)
	}
	return nil
}

// commands prepares --base-cmd and --head-cmd.
func (c *contest) commands() error {
	b, err := os.ReadFile(c.scenario)
	if err != nil {
		return exitError{fmt.Errorf("--scenario: %w", err), gate.ExitUsage}
	}
	s, err := gate.ParseScenario(b)
	if err != nil {
		return exitError{fmt.Errorf("%s: %w", c.scenario, err), gate.ExitUsage}
	}
	c.result.Config, c.macros = &s.Config, []bench.Macro{s.Macro()}
	c.result.Head.Name = c.headCmd
	c.headServer = command("head", c.headCmd, s)
	if c.baseCmd != "" {
		c.result.Base.Name = c.baseCmd
		c.baseServer = command("base", c.baseCmd, s)
		if c.baseCmd == c.headCmd {
			c.note("Both command lines are the same: this is an A/A run.")
		}
	}
	return nil
}

// command launches a command line by the shell, which becomes the server: its
// process is the one that is measured and ended.
func command(label, line string, s *gate.Scenario) *bench.Command {
	return &bench.Command{Label: label, Args: []string{"/bin/sh", "-c", "exec " + line}, Wait: s.Wait}
}

func (c *contest) note(format string, args ...any) {
	c.result.Notes = append(c.result.Notes, fmt.Sprintf(format, args...))
}

func (c *contest) say(format string, args ...any) { fmt.Fprintf(c.stderr, format+"\n", args...) }

func (c *contest) measure(ctx context.Context) ([]gate.Samples, error) {
	run := gate.Contest{Config: c.result.Config, Base: c.baseServer, Head: c.headServer, ExactOnly: c.result.ExactOnly, Log: c.stderr}
	samples, err := run.Run(ctx, c.macros)
	if err != nil {
		return nil, fmt.Errorf("measure: %w", err)
	}
	c.result.Judge(samples)
	more, err := run.More(ctx, c.macros, samples, c.result)
	if err != nil {
		return nil, fmt.Errorf("measure: %w", err)
	}
	if more {
		c.note("Where samples spread too far, as many pairs were taken again.")
	}
	for _, s := range samples {
		for _, err := range []error{s.Base.Err, s.Head.Err} {
			if errors.Is(err, scenario.ErrUsage) {
				return nil, exitError{fmt.Errorf("%s: %w", c.scenario, err), gate.ExitUsage}
			}
		}
	}
	if c.kept != nil {
		missing := gate.Against(c.kept, samples)
		for _, name := range missing {
			if c.onlyRE.MatchString(name) {
				c.note("%s is in %s and was not measured.", name, c.baseline)
			}
		}
	}
	return samples, nil
}

// write writes all that was asked for.
func (c *contest) write(stdout io.Writer, samples []gate.Samples) error {
	if c.benchOut != "" {
		if err := c.writeSamples(samples); err != nil {
			return err
		}
	}
	if err := writeFile(c.json, stdout, c.result.Write); err != nil {
		return err
	}
	if err := writeFile(c.markdown, stdout, c.result.WriteMarkdown); err != nil {
		return err
	}
	if c.result.Exit == gate.ExitUnstable || c.result.Exit == gate.ExitFailed {
		return nil // such figures are not worth keeping
	}
	return writeFile(c.saveBaseline, stdout, c.result.Keep().Write)
}

func (c *contest) writeSamples(samples []gate.Samples) error {
	if err := os.MkdirAll(c.benchOut, 0o755); err != nil {
		return fmt.Errorf("write samples: %w", err)
	}
	for _, side := range []struct {
		name  string
		build gate.Build
		of    func(*gate.Samples) *gate.Side
	}{
		{"base", c.result.Base, func(s *gate.Samples) *gate.Side { return &s.Base }},
		{"head", c.result.Head, func(s *gate.Samples) *gate.Side { return &s.Head }},
	} {
		err := writeFile(filepath.Join(c.benchOut, side.name+".txt"), nil, func(w io.Writer) error {
			return gate.WriteBenchmarks(w, c.result.Environment, side.build, samples, side.of)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *contest) outcome() error {
	switch c.result.Exit {
	case gate.ExitRegression:
		return exitError{errors.New("regression"), gate.ExitRegression}
	case gate.ExitUnstable:
		return exitError{errors.New("unstable: the samples do not say whether it is worse"), gate.ExitUnstable}
	case gate.ExitFailed:
		return exitError{errors.New("could not measure"), gate.ExitFailed}
	}
	return nil
}

func writeFile(name string, stdout io.Writer, write func(io.Writer) error) (err error) {
	switch name {
	case "":
		return nil
	case "-":
		return write(stdout)
	}
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return write(file)
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"peal/loadtest"
	"peal/loadtest/dialect"
	"peal/loadtest/report"
	"peal/loadtest/scenario"
)

// Exit codes of peal load, beside 0 and 2.
const (
	exitMissed      = 1
	exitInvalid     = 3
	exitInterrupted = 130
)

// loadError is the failure of a load test that was run.
type loadError struct {
	error
	code int
}

func newLoad() *cobra.Command {
	c := &cobra.Command{
		Use:   "load",
		Short: "Load test a push server: Peal, or any of WebSocket, SSE and long polling",
		Long: `Opens subscribers, publishes to them on a schedule, and counts the lost, repeated
and reordered messages of each. Latency counts from the scheduled time of sending.
A run is reported as not valid if the load generator limited it more than the server.

Exit codes: 0 success, 1 an objective was missed, 2 invalid arguments, or an
objective that was not measured, 3 the run is not valid, 130 it was interrupted
(SIGINT or SIGTERM): the report has what was measured until then, and a second
signal ends the program at once. See docs/loadtest.md.`,
		Example: `  peal load fanout
  peal load fanout --connections 10000 --rate 50 --fail-if 'p99>50ms' --fail-if 'lost>0'
  peal load storm --target sse+http://127.0.0.1:8080/sse?channel=bench --html storm.html
  peal load restart --start 'peal serve --listen {port} --log file:/tmp/log' --fail-if 'lost>0'
  peal load run chat.yaml --rate 100
  peal load compare before.json after.json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	names, about := scenario.Names()
	for i, name := range names {
		c.AddCommand(newScenario(name, about[i]))
	}
	c.AddCommand(newRun(), newSchema(), newCompare(), newAgent())
	return c
}

// loadScenario is a subcommand that runs a scenario.
type loadScenario struct {
	name     string // "": the scenario file says
	settings scenario.Settings
	print    bool
}

func newScenario(name, about string) *cobra.Command {
	l := &loadScenario{name: name, settings: scenario.DefaultsOf(name)}
	c := &cobra.Command{
		Use:   name,
		Short: strings.ToUpper(about[:1]) + about[1:],
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return l.run(c) },
	}
	l.flags(c)
	return c
}

// newRun is the subcommand whose settings are in a file.
func newRun() *cobra.Command {
	l := &loadScenario{settings: scenario.Defaults()}
	c := &cobra.Command{
		Use:     "run FILE.yaml",
		Short:   "Run a scenario file; flags override it",
		Example: "  peal load fanout --rate 50 --print-scenario > chat.yaml\n  peal load run chat.yaml --rate 100",
		Args: func(c *cobra.Command, args []string) error {
			return usage(c, cobra.ExactArgs(1)(c, args))
		},
	}
	l.flags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		content, err := os.ReadFile(args[0])
		if err != nil {
			return usageError{fmt.Errorf("read scenario: %w", err)}
		}
		if l.name, err = scenario.Read(c.Flags(), args[0], content); err != nil {
			return usageError{err}
		}
		return l.run(c)
	}
	return c
}

func (l *loadScenario) flags(c *cobra.Command) {
	f := c.Flags()
	f.SortFlags = false
	f.AddFlagSet(scenario.Flags(&l.settings, l.name))
	f.BoolVar(&l.print, "print-scenario", false, "print the scenario file that would run, and exit; environment variables stand for secrets")
	_ = c.RegisterFlagCompletionFunc("fail-if", completeMetrics) // the flag is there
}

func completeMetrics(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return report.Metrics(), cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

func (l *loadScenario) run(c *cobra.Command) error {
	if l.print {
		return scenario.Print(c.OutOrStdout(), c.Flags(), l.name)
	}
	s := l.settings
	s.Version = version
	s.Token, s.PublishKey = cmp.Or(s.Token, os.Getenv(tokenVariable)), cmp.Or(s.PublishKey, os.Getenv(keyVariable))
	if len(s.PID)+len(s.Admin)+len(s.Start) == 0 {
		s.PID = localHolders(c.Context(), s.Targets)
	}
	implied, err := s.Implied(l.name)
	if err != nil {
		return err
	}
	s.Objectives = append(slices.Clip(s.Objectives), implied...)
	stdout := c.OutOrStdout()
	if s.Out.JSON == "-" {
		stdout = c.ErrOrStderr() // the summary, then
	}
	progress := newLoadProgress(c.ErrOrStderr())
	s.Progress = progress.show
	r, err := scenario.Run(c.Context(), l.name, s)
	progress.end()
	if errors.Is(err, scenario.ErrUsage) {
		return usageError{err}
	}
	if err != nil {
		code := exitInvalid
		if c.Context().Err() != nil {
			code = exitInterrupted
		}
		return loadError{err, code}
	}
	missed, unmeasured := r.Judge(s.Objectives)
	if err := writeOut(c.OutOrStdout(), &s.Out, r); err != nil {
		return loadError{err, exitInvalid}
	}
	if err := r.WriteText(stdout); err != nil {
		return loadError{fmt.Errorf("write: %w", err), exitInvalid}
	}
	switch {
	case r.Interrupted:
		return loadError{errors.New("interrupted"), exitInterrupted}
	case unmeasured != nil && r.Aborted == "" && r.Ended == "":
		return usageError{unmeasured}
	case !r.Validity.Valid:
		return loadError{fmt.Errorf("the run is not valid: %s", strings.Join(r.Validity.Reasons, "; ")), exitInvalid}
	case len(missed) > 0:
		return loadError{fmt.Errorf("missed: %s", strings.Join(missed, "; ")), exitMissed}
	}
	return nil
}

// localHolders are the processes that listen at the targets, if all targets are on
// this machine and each has exactly one visible process: with several it is unknown
// which one serves.
func localHolders(ctx context.Context, targets []string) []int {
	var pids []int
	for _, text := range targets {
		t, err := loadtest.ParseTarget(ctx, text, nil, dialect.Data{})
		if err != nil || !t.Local() {
			return nil
		}
		found := holders(listeners(netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(t.Port()))))
		if len(found) != 1 {
			return nil
		}
		pids = append(pids, found[0])
	}
	return pids
}

// writeOut writes the files that the settings name.
func writeOut(stdout io.Writer, out *scenario.Out, r *report.Report) error {
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{out.JSON, r.Write}, {out.CSV, r.WriteCSV}, {out.StagesCSV, r.WriteStagesCSV}, {out.Hgrm, r.WriteHgrm},
		{out.JUnit, r.WriteJUnit}, {out.OpenMetrics, r.WriteOpenMetrics},
		{out.HTML, func(w io.Writer) error { return report.WritePage(w, r) }},
	} {
		if err := report.WriteFile(f.name, stdout, f.write); err != nil {
			return err
		}
	}
	return nil
}

func newCompare() *cobra.Command {
	var html string
	c := &cobra.Command{
		Use:   "compare A.json... [--] B.json...",
		Short: "Compare reports of two sides, with several runs each to tell a difference from noise",
		Example: `  peal load compare before.json after.json --html page.html
  peal load compare a1.json a2.json a3.json a4.json a5.json -- b1.json b2.json b3.json b4.json b5.json`,
		RunE: func(c *cobra.Command, args []string) error {
			split := c.ArgsLenAtDash()
			if split < 0 && len(args) == 2 {
				split = 1
			}
			if split < 1 || split == len(args) {
				return usageError{errors.New("compare: give two reports, or several on both sides of --")}
			}
			var sides []*report.Report
			for _, names := range [][]string{args[:split], args[split:]} {
				side, err := readSide(names)
				if err != nil {
					return usageError{err}
				}
				sides = append(sides, side)
			}
			if err := report.WriteFile(html, c.OutOrStdout(), func(w io.Writer) error { return report.WritePage(w, sides...) }); err != nil {
				return err
			}
			return report.Compare(c.OutOrStdout(), sides[0], sides[1])
		},
	}
	c.Flags().StringVar(&html, "html", "", "file for an HTML page with both")
	return c
}

func readSide(names []string) (*report.Report, error) {
	var runs []*report.Report
	for _, name := range names {
		r, err := readReport(name)
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	return report.Side(runs)
}

func readReport(name string) (*report.Report, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	defer file.Close()
	r, err := report.Read(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

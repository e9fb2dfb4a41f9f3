package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"peal/loadtest"
	"peal/loadtest/report"
	"peal/loadtest/scenario"
)

// Exit codes of peal load, beside 0 and 2.
const (
	exitMissed  = 1
	exitInvalid = 3
)

// loadError is the end of a load test that was run.
type loadError struct {
	error
	code int
}

func newLoad() *cobra.Command {
	c := &cobra.Command{
		Use:   "load",
		Short: "Load test a push server: Peal, or any of WebSocket, SSE and long polling",
		Long: `Opens subscribers, publishes to them on a schedule, and counts for each of them
what was lost, repeated or reordered. Latency counts from the moment the schedule
meant to send. Says itself when a run says more about it than about the server.

Exit code: 0 all is well, 1 an objective was missed, 2 usage, or an objective that
was not measured, 3 the run is not valid. See docs/loadtest.md.`,
		Example: `  peal load fanout
  peal load fanout --connections 10000 --rate 50 --fail-if 'p99>50ms' --fail-if 'lost>0'
  peal load storm --target sse+http://127.0.0.1:8080/sse?channel=bench --html storm.html
  peal load restart --start 'peal serve --listen {port} --log file:/tmp/log' --fail-if 'lost>0'
  peal load compare before.json after.json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	names, about := scenario.Names()
	for i, name := range names {
		c.AddCommand(newScenario(name, about[i]))
	}
	c.AddCommand(newCompare())
	return c
}

// loadFlags are the flags that are not settings.
type loadFlags struct {
	failIf                []string
	mix                   string
	lag, cpu, sent        float64
	json, csv, hgrm, html string
}

func newScenario(name, about string) *cobra.Command {
	s, l := scenario.Defaults(), loadFlags{}
	c := &cobra.Command{
		Use:   name,
		Short: strings.ToUpper(about[:1]) + about[1:],
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return l.run(c, name, s)
		},
	}
	if name == "soak" {
		s.Duration = time.Hour
	}
	if name == "connect" {
		s.Duration = time.Second
	}
	f := c.Flags()
	f.SortFlags = false
	settingFlags(f, &s, name)
	l.add(f, s.Limits)
	if name == "mixed" {
		f.StringVar(&l.mix, "mix", "1:1:1", "shares of WebSocket : SSE : long polling")
	}
	_ = c.RegisterFlagCompletionFunc("fail-if", completeMetrics) // the flag is there
	return c
}

func settingFlags(f *pflag.FlagSet, s *scenario.Settings, name string) {
	f.StringArrayVar(&s.Targets, "target", s.Targets, "ws://…, peal+ws://…, sse+http://…, poll+http://…, or another server: see docs/loadtest.md; several share the connections")
	f.IntVar(&s.Connections, "connections", s.Connections, "subscribers")
	f.IntVar(&s.Channels, "channels", s.Channels, "channels that the subscribers are spread over, one each")
	if name != "connect" {
		f.Float64Var(&s.Rate, "rate", s.Rate, "messages a second, in all channels together")
		f.IntVar(&s.Size, "size", s.Size, "bytes of a message")
	}
	f.DurationVar(&s.Duration, "duration", s.Duration, durationMeans(name))
	f.StringArrayVar(&s.Publish, "publish", nil, "where to publish if it does not follow from the target: http://…{channel}… or ws://…")
	f.StringArrayVar(&s.Header, "header", nil, "a further line of every request: 'Name: value'")
	if name != "connect" {
		f.StringVar(&s.Secret, "secret", "", "secret of a Pusher's application: signs what is published, stands in no report")
	}
	f.StringArrayVar(&s.Start, "start", nil, "start the server with this command, and end it: 'peal serve --listen {port}'; one for each target, {port} and {admin} are free ports there and in --target, --publish, --admin")
	f.IntSliceVar(&s.PID, "pid", nil, "process of the server, to measure what it uses (default: who listens on the target's port here)")
	f.StringSliceVar(&s.Admin, "admin", nil, "address of the server's metrics, 127.0.0.1:8081: the same from there, and its heap")
	f.StringSliceVar(&s.Sources, "source", nil, "local addresses to connect from: each has about 28,000 ports for a server")
	f.Float64Var(&s.OpenRate, "open-rate", 0, "connections to open a second; 0: as fast as it goes")
	f.DurationVar(&s.Timeout, "open-timeout", s.Timeout, "how long opening all may take")
	f.DurationVar(&s.Idle, "idle", s.Idle, "how long the server rests before its memory is read")
	f.DurationVar(&s.Settle, "settle", s.Settle, "how long to wait for the last messages")
	f.DurationVar(&s.Every, "every", s.Every, "length of an interval")
	f.BoolVar(&s.GWS, "gws", false, "subscribers are the WebSocket client lxzan/gws: an independent judge, at a fourth more CPU and 5.5 KB each")
	switch name {
	case "storm", "versus":
		f.DurationVar(&s.Away, "away", s.Away, "how long the dropped clients stay away")
	case "ramp":
		f.DurationVar(&s.Step, "step", s.Step, "how long each rate")
		f.Float64Var(&s.Factor, "factor", s.Factor, "from one rate to the next")
		f.Float64Var(&s.MaxRate, "max-rate", s.MaxRate, "where to stop")
		f.Lookup("rate").Usage = "messages a second to begin with"
		_ = f.MarkHidden("duration") // it has steps
	}
	if name == "versus" {
		f.IntVar(&s.Turns, "turns", s.Turns, "turns of each server")
	}
}

func durationMeans(name string) string {
	switch name {
	case "connect":
		return "how long to hold the connections"
	case "restart":
		return "how long to publish; the server ends after a third of it, and is killed after another"
	case "storm":
		return "how long to publish; all drop after a third of it"
	}
	return "how long to publish"
}

func (l *loadFlags) add(f *pflag.FlagSet, d report.Limits) {
	f.StringArrayVar(&l.failIf, "fail-if", nil, "an objective, 'p99>50ms': exit code 1 if it is so ("+strings.Join(report.Metrics(), " ")+")")
	f.StringVar(&l.json, "json", "", "file for the report as JSON; - for standard output")
	f.StringVar(&l.csv, "csv", "", "file for the intervals as CSV")
	f.StringVar(&l.hgrm, "hgrm", "", "file for the latency's percentiles, as HdrHistogram's plotters read them")
	f.StringVar(&l.html, "html", "", "file for a page with charts")
	f.Float64Var(&l.lag, "max-lag", d.Lag, "valid only if p99 of the pacer's lag is at most this share of the reported p99")
	f.Float64Var(&l.cpu, "max-cpu", d.CPU, "valid only if the generator used at most this share of its CPU")
	f.Float64Var(&l.sent, "min-sent", d.Sent, "valid only if at least this share of the schedule was sent")
}

func completeMetrics(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return report.Metrics(), cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

func (l *loadFlags) run(c *cobra.Command, name string, s scenario.Settings) error {
	s.Limits = report.Limits{Lag: l.lag, CPU: l.cpu, Sent: l.sent}
	s.Version = version
	for _, text := range l.failIf {
		o, err := report.ParseObjective(text)
		if err != nil {
			return usageError{err}
		}
		s.Objectives = append(s.Objectives, o)
	}
	if l.mix != "" {
		if n, err := fmt.Sscanf(l.mix+"\n", "%d:%d:%d\n", &s.Mix[0], &s.Mix[1], &s.Mix[2]); n != 3 || err != nil {
			return usageError{fmt.Errorf("--mix %q: must be like 6:3:1", l.mix)}
		}
	}
	if len(s.PID)+len(s.Admin)+len(s.Start) == 0 {
		s.PID = localHolders(c.Context(), s.Targets)
	}
	stdout := c.OutOrStdout()
	if l.json == "-" {
		stdout = c.ErrOrStderr() // the summary, then
	}
	progress := newLoadProgress(c.ErrOrStderr())
	s.Progress = progress.show
	r, err := scenario.Run(c.Context(), name, s)
	progress.end()
	if errors.Is(err, scenario.ErrUsage) {
		return usageError{err}
	}
	if err != nil {
		return loadError{err, exitInvalid}
	}
	missed, unmeasured := r.Judge(s.Objectives)
	if err := l.write(c.OutOrStdout(), r); err != nil {
		return loadError{err, exitInvalid}
	}
	if err := r.WriteText(stdout); err != nil {
		return loadError{fmt.Errorf("write: %w", err), exitInvalid}
	}
	switch {
	case unmeasured != nil && r.Aborted == "":
		return usageError{unmeasured}
	case !r.Validity.Valid:
		return loadError{fmt.Errorf("the run is not valid: %s", strings.Join(r.Validity.Reasons, "; ")), exitInvalid}
	case len(missed) > 0:
		return loadError{fmt.Errorf("missed: %s", strings.Join(missed, "; ")), exitMissed}
	}
	return nil
}

// localHolders are the processes that listen where the targets are, if they are
// all on this machine, can be seen, and are one each: of several nobody knows
// which works.
func localHolders(ctx context.Context, targets []string) []int {
	var pids []int
	for _, text := range targets {
		t, err := loadtest.ParseTarget(ctx, text, "")
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

// write writes the files that were asked for.
func (l *loadFlags) write(stdout io.Writer, r *report.Report) error {
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{l.json, r.Write}, {l.csv, r.WriteCSV}, {l.hgrm, r.WriteHgrm},
		{l.html, func(w io.Writer) error { return report.WritePage(w, r) }},
	} {
		if err := writeFile(f.name, stdout, f.write); err != nil {
			return err
		}
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
		return fmt.Errorf("write report: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return write(file)
}

func newCompare() *cobra.Command {
	var html string
	c := &cobra.Command{
		Use:   "compare A.json B.json",
		Short: "Set two reports side by side",
		Example: `  peal load restart --start 'peal serve --listen {port} --log file:/tmp/log' --fail-if 'lost>0'
  peal load compare before.json after.json --html page.html`,
		Args: func(c *cobra.Command, args []string) error {
			return usage(c, cobra.ExactArgs(2)(c, args))
		},
		RunE: func(c *cobra.Command, args []string) error {
			var both []*report.Report
			for _, name := range args {
				r, err := readReport(name)
				if err != nil {
					return usageError{err}
				}
				both = append(both, r)
			}
			if err := writeFile(html, c.OutOrStdout(), func(w io.Writer) error { return report.WritePage(w, both...) }); err != nil {
				return err
			}
			return report.Compare(c.OutOrStdout(), both[0], both[1])
		},
	}
	c.Flags().StringVar(&html, "html", "", "file for a page with both")
	return c
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

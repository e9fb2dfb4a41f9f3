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
objective that was not measured, 3 the run is not valid. See docs/loadtest.md.`,
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
	c.AddCommand(newCompare(), newAgent())
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
	f.StringArrayVar(&s.Targets, "target", s.Targets, "server to test: ws://…, peal+ws://…, sse+http://…, poll+http://…, or another server (docs/loadtest.md); several targets share the connections")
	f.IntVar(&s.Connections, "connections", s.Connections, "number of subscribers")
	f.IntVar(&s.Channels, "channels", s.Channels, "number of channels; each subscriber has one")
	if name != "connect" {
		f.Float64Var(&s.Rate, "rate", s.Rate, "messages per second in all channels together")
		f.IntVar(&s.Size, "size", s.Size, "size of a message in bytes")
	}
	f.DurationVar(&s.Duration, "duration", s.Duration, durationMeans(name))
	f.StringArrayVar(&s.Publish, "publish", nil, "address to publish to, if it does not follow from the target: http://…{channel}… or ws://…")
	f.StringArrayVar(&s.Header, "header", nil, "header line to add to every request: 'Name: value'")
	if name != "connect" {
		f.StringVar(&s.Secret, "secret", "", "secret of a Pusher application, which signs publications; it is in no report")
	}
	f.StringVar(&s.CA, "ca", "", "file with the certificates (PEM) of the authorities to trust for TLS, instead of the system's")
	f.StringVar(&s.ServerName, "server-name", "", "name to ask for and to verify in TLS (default: the host of the target)")
	f.StringVar(&s.Cert, "cert", "", "file with the client's certificate (PEM), for servers that require one")
	f.StringVar(&s.Key, "key", "", "file with the key of --cert (PEM); it is in no report")
	f.BoolVar(&s.Insecure, "insecure", false, "accept any certificate of the server")
	f.StringArrayVar(&s.Start, "start", nil, "command that starts the server, which is stopped afterwards: 'peal serve --listen {port}'; one for each target; {port} and {admin} stand for free ports, also in --target, --publish and --admin")
	f.IntSliceVar(&s.PID, "pid", nil, "process of the server, whose CPU and memory are measured (default: the local process that listens on the target's port)")
	f.StringSliceVar(&s.Admin, "admin", nil, "address of the server's metrics, like 127.0.0.1:8081: CPU and memory are read there, and the heap")
	f.StringSliceVar(&s.Sources, "source", nil, "local addresses to connect from; each has about 28,000 ports per server")
	f.Float64Var(&s.OpenRate, "open-rate", 0, "connections to open per second; 0: as fast as possible")
	f.DurationVar(&s.Timeout, "open-timeout", s.Timeout, "time limit for opening all connections")
	f.DurationVar(&s.Idle, "idle", s.Idle, "idle time before the memory of the server is read")
	f.DurationVar(&s.Settle, "settle", s.Settle, "time to wait for the last messages")
	f.DurationVar(&s.Every, "every", s.Every, "length of an interval of the report")
	f.BoolVar(&s.GWS, "gws", false, "use the WebSocket client lxzan/gws for the subscribers: an independent check, for a quarter more CPU and 5.5 KB each")
	switch name {
	case "storm", "versus":
		f.DurationVar(&s.Away, "away", s.Away, "time before the dropped clients reconnect")
	case "ramp":
		f.DurationVar(&s.Step, "step", s.Step, "duration of each rate")
		f.Float64Var(&s.Factor, "factor", s.Factor, "factor from one rate to the next")
		f.Float64Var(&s.MaxRate, "max-rate", s.MaxRate, "highest rate to try")
		f.Lookup("rate").Usage = "messages per second in the first step"
		_ = f.MarkHidden("duration") // it has steps
	}
	if name == "versus" {
		f.IntVar(&s.Turns, "turns", s.Turns, "number of turns of each server")
	}
}

func durationMeans(name string) string {
	switch name {
	case "connect":
		return "time to hold the connections"
	case "restart":
		return "time to publish; the server is stopped after one third of it and killed after two"
	case "storm":
		return "time to publish; all clients are dropped after one third of it"
	}
	return "time to publish"
}

func (l *loadFlags) add(f *pflag.FlagSet, d report.Limits) {
	f.StringArrayVar(&l.failIf, "fail-if", nil, "condition that makes the run fail with exit code 1, like 'p99>50ms' (metrics: "+strings.Join(report.Metrics(), " ")+")")
	f.StringVar(&l.json, "json", "", "file for the report as JSON; - writes to standard output")
	f.StringVar(&l.csv, "csv", "", "file for the intervals as CSV")
	f.StringVar(&l.hgrm, "hgrm", "", "file for the percentiles of the latency, in the format of HdrHistogram plotters")
	f.StringVar(&l.html, "html", "", "file for an HTML page with charts")
	f.Float64Var(&l.lag, "max-lag", d.Lag, "the run is valid only if p99 of the sending lag is at most this share of the reported p99")
	f.Float64Var(&l.cpu, "max-cpu", d.CPU, "the run is valid only if the generator used at most this share of its CPU")
	f.Float64Var(&l.sent, "min-sent", d.Sent, "the run is valid only if at least this share of the schedule was sent")
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

// localHolders are the processes that listen at the targets, if all targets are on
// this machine and each has exactly one visible process: with several it is unknown
// which one serves.
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

// write writes the files that the flags name.
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
		Short: "Compare two reports",
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
	c.Flags().StringVar(&html, "html", "", "file for an HTML page with both")
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

// Command run measures one Peal binary: the rows of the table "ceiling" of
// BENCHMARKS.md, or what other flags select. scripts/bench.sh builds Peal and
// calls it. "run documents" generates the tables of the documents instead;
// scripts/benchmarks.sh calls that.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"

	"peal/bench"
	"peal/bench/document"
	"peal/bench/record"
	"peal/loadtest"
	"peal/loadtest/child"
	"peal/loadtest/hostile"
)

func main() {
	child.Play(loadtest.Worker, hostile.Role)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, flag.ErrHelp), errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("wrong usage")

// options are the command line.
type options struct {
	peal, pealArgs, versus string
	pairs, count           int
	short, list, gateSizes bool
	rows                   *regexp.Regexp // nil: all
	macro                  bool
	only                   string         // the name of a part; "": the rows of the ceiling
	proof                  bench.Auth     // of the servers with --auth
	secured                bench.TLS      // of those with --tls
	centrifugo             *bench.Command // beside the Pusher protocol; nil: it could not be built
	macros                 *regexp.Regexp // nil: all
	json                   string
	attacks                attackOptions
	config                 bench.Config
}

// expression defines a flag that selects things: --NAME all, --NAME=REGEXP some.
func expression(f *flag.FlagSet, on *bool, only **regexp.Regexp, name, usage string) {
	f.BoolFunc(name, usage, func(value string) (err error) {
		if *on = true; value != "true" {
			*only, err = regexp.Compile(value)
		}
		return err
	})
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.peal, "peal", "", "Peal's `binary`; empty: measure the ceiling instead (checks the bench itself)")
	f.StringVar(&o.pealArgs, "peal-args", "--admin 127.0.0.1:{admin}", "further arguments of 'peal serve', separated by spaces; {port}, {admin} and {loops} are replaced")
	f.StringVar(&o.versus, "versus", "", "`command` line of a server to compare with instead of the ceiling, with {port} and optionally {loops}; it must serve Peal's paths")
	f.IntVar(&o.pairs, "pairs", 5, "how many interleaved pairs of each row (default 1 with --short)")
	f.BoolVar(&o.short, "short", false, "a quick pass with small sizes")
	f.Func("rows", "only the experiments whose key matches this `regexp` (see --list)", func(value string) (err error) {
		o.rows, err = regexp.Compile(value)
		return err
	})
	f.BoolVar(&o.list, "list", false, "list the experiments' keys")
	for _, p := range o.parts() {
		f.BoolFunc(p.name, "only "+p.usage, func(string) error { o.only = p.name; return nil })
	}
	f.StringVar(&o.json, "json", "", "`file` for all samples and the environment: see bench/record")
	length := f.Duration("length", 0, "of each measured run (default 4s, 1s with --short)")
	expression(f, &o.macro, &o.macros, "macro", "only the macro-benchmarks (--macro=`regexp`: those with a matching name), in Go's benchmark format, for benchstat")
	f.IntVar(&o.count, "count", 1, "how many samples of each macro-benchmark")
	f.BoolVar(&o.gateSizes, "gate-sizes", false, "the small sizes with which peal-gate compares two builds")
	o.attacks.flags(f)
	rate := f.Float64("open-rate", 0, "messages per second of the open loop; 0: half of the ceiling's closed loop")
	publishers := f.Int("publishers", 64, "connections of the HTTP publication row")
	loops := f.Int("loops", 0, "Peal's loops where it is not compared with the ceiling (default 2)")
	var m bench.Metrics
	f.StringVar(&m.URL, "metrics-url", "http://{admin}/metrics", "where Peal reports its metrics")
	f.StringVar(&m.LoopConnections, "metric-loop-connections", "peal_connections", "`name` of the gauge with the connections of each loop; empty: the imbalance is not measured")
	if err := f.Parse(args); err != nil {
		return o, errors.Join(errUsage, err)
	}
	if f.NArg() > 0 || o.pairs < 1 || o.count < 1 || (m.URL == "") != (m.LoopConnections == "") {
		fmt.Fprintln(stderr, "bench: only flags are accepted; --pairs and --count must be at least 1; --metrics-url and --metric-loop-connections go together")
		return o, errUsage
	}
	o.config = bench.Full()
	if o.short {
		o.config = bench.Short()
		set := false
		f.Visit(func(g *flag.Flag) { set = set || g.Name == "pairs" })
		if !set {
			o.pairs = 1
		}
	}
	if o.gateSizes {
		o.config = bench.GateSizes()
	}
	if *length > 0 {
		o.config.Length = *length
	}
	if *loops > 0 {
		o.config.Loops = *loops
	}
	o.config.Publishers, o.config.OpenRate, o.config.Metrics = *publishers, *rate, m
	if o.peal == "" {
		o.config.Metrics = bench.Metrics{} // the ceiling has none
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == "documents" {
		return documents(ctx, args[1:], stdout, stderr)
	}
	o, err := parse(args, stderr)
	switch {
	case err != nil:
		return err
	case o.list:
		o.config.Peal, o.config.Ceiling, o.config.Publishing = &bench.Command{}, &bench.Command{}, &bench.Command{} // nothing is started
		for _, name := range o.names() {
			fmt.Fprintln(stdout, name)
		}
		return nil
	case o.attacks.on && o.peal == "":
		return errors.New("--attacks needs --peal")
	case o.attacks.on:
		return o.runAttacks(ctx, stdout, stderr)
	}
	dir, err := os.MkdirTemp("", "peal-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := o.servers(ctx, dir); err != nil {
		return err
	}
	if o.macro {
		return o.runMacros(ctx, stdout, stderr)
	}
	r, err := o.begin(ctx, args)
	if err != nil {
		return err
	}
	r.Rows = o.measure(ctx, stderr)
	return errors.Join(o.write(r, stdout), ctx.Err())
}

// names returns the names of what the flags select.
func (o *options) names() (all []string) {
	if o.macro {
		for _, m := range o.selected() {
			all = append(all, m.Name)
		}
		return all
	}
	for _, e := range o.experiments() {
		all = append(all, e.Key)
	}
	return all
}

func (o *options) selected() (some []bench.Macro) {
	for _, m := range o.config.Macros() {
		if o.macros == nil || o.macros.MatchString(m.Name) {
			some = append(some, m)
		}
	}
	return some
}

// part is what a flag selects instead of the rows of the ceiling. Its record has its name.
type part struct {
	name, usage string
	experiments func() []bench.Experiment
	sides       []string                                    // of its record, both the same build; nil: there is one
	prepare     func(ctx context.Context, dir string) error // needs --peal; nil: nothing
}

// parts are all of them. Their functions are o's.
func (o *options) parts() []part {
	c := &o.config
	return []part{
		{"transports", "compare the transports, in --pairs rounds: the table of docs/transports.md", c.TransportExperiments, nil, nil},
		{"memory", "the three kinds of memory of an idle connection", c.MemoryExperiments, nil, nil},
		{"own", "what channels of their own, and names, add to the memory of connections", c.OwnExperiments,
			[]string{"with", "without"}, nil},
		{"auth", "what tokens and keys cost: --auth token against --auth open", func() []bench.Experiment { return c.AuthExperiments(&o.proof) },
			[]string{"--auth token", "--auth open"}, func(ctx context.Context, dir string) error { return o.proof.Prepare(ctx, o.peal, dir) }},
		{"tls", "TLS: handshakes and memory against nginx with Nchan, and what it costs a delivery", func() []bench.Experiment { return c.TLSExperiments(&o.secured) },
			[]string{"Peal with TLS", "nginx + Nchan with TLS"}, func(_ context.Context, dir string) error { return o.secured.Prepare(dir) }},
		{"shared", "the log that several nodes share: one node on Redis against the log in memory", c.SharedExperiments,
			[]string{"log in Redis", "log in memory"}, nil},
		{"edge", "heartbeats, lone publications, Unix sockets, a log that syncs each entry, and bytes per connection by slope; B is the server of --versus", c.EdgeExperiments, []string{"A", "B"}, nil},
		{"sets", "fan-out where each connection has channels of its own beside shared ones, against the same channels for all", c.SetExperiments,
			[]string{"channels of their own", "the same channels"}, nil},
		{"requests", "publications over HTTP and connections that open and close, against C (or --versus) and nginx", c.RequestExperiments, []string{"peal", "C"}, nil},
		{"workloads", "what applications do besides fan-out to one large channel, on this build and on the one of --versus", c.WorkloadExperiments,
			[]string{"this build", "the build of --versus"}, func(context.Context, string) error {
				if o.versus == "" {
					return errors.New("--workloads needs --versus 'PEAL serve …', another build")
				}
				return nil
			}},
		{"pusher", "the Pusher protocol: fan-out and memory beside peal.v1, and Centrifugo", func() []bench.Experiment { return c.PusherExperiments(o.centrifugo) },
			[]string{"Pusher protocol", "peal.v1"}, func(ctx context.Context, dir string) (err error) {
				if o.centrifugo, err = bench.Centrifugo(ctx, dir); err != nil {
					fmt.Fprintln(os.Stderr, "bench:", err)
				}
				return ctx.Err()
			}},
	}
}

// part returns the one that is selected.
func (o *options) part() part {
	for _, p := range o.parts() {
		if p.name == o.only {
			return p
		}
	}
	return part{name: "ceiling", experiments: o.config.Experiments}
}

func (o *options) experiments() []bench.Experiment { return o.part().experiments() }

// servers sets both sides.
func (o *options) servers(ctx context.Context, dir string) error {
	ceiling, err := bench.BuildCeiling(ctx, dir)
	if err != nil {
		return err
	}
	o.config.Ceiling, o.config.Peal = ceiling, ceiling
	if o.config.Publishing, err = bench.BuildPublishing(ctx, dir); err != nil {
		return err
	}
	if o.versus != "" {
		o.config.Ceiling = &bench.Command{Label: "versus", Args: strings.Fields(o.versus)}
		o.config.Publishing = o.config.Ceiling
	}
	if o.peal != "" {
		if _, err := exec.LookPath(o.peal); err != nil {
			return fmt.Errorf("--peal: %w", err)
		}
		o.config.Peal = bench.Peal(o.peal, strings.Fields(o.pealArgs)...)
	}
	switch p := o.part(); {
	case p.prepare == nil:
		return ctx.Err()
	case o.peal == "":
		return fmt.Errorf("--%s needs --peal", p.name)
	default:
		return p.prepare(ctx, dir)
	}
}

// begin returns the record without its rows.
func (o *options) begin(ctx context.Context, args []string) (*record.Record, error) {
	e, err := record.Capture(ctx)
	p := o.part()
	r := &record.Record{Schema: record.Schema, Name: p.name, Quick: o.short, Command: commandLine(args), Environment: e,
		Sizes: &record.Sizes{Subscribers: o.config.Subscribers, Idle: o.config.Many, Length: o.config.Length.Seconds()}}
	servers := []*bench.Command{o.config.Peal}
	switch {
	case p.sides != nil:
		servers = append(servers, o.config.Peal)
	case o.only == "":
		servers = append(servers, o.config.Ceiling)
	}
	switch {
	case o.only == "pusher" && o.centrifugo == nil:
		r.Missing = []string{"Centrifugo, because it could not be built or started here"}
	case o.only == "" && o.config.Metrics.LoopConnections == "":
		r.Missing = []string{"imbalance between loops and bytes held, because the server has no metrics"}
	}
	for _, c := range servers {
		command := strings.Join(append([]string{c.Label}, c.Args[1:]...), " ")
		r.Servers = append(r.Servers, record.Server{Name: c.Label, Version: e.Commit, Command: command})
	}
	for i, name := range p.sides {
		r.Servers[i].Name = name
	}
	return r, err
}

// measure takes the samples of all rows. Transports are compared with each other, so
// each round measures all of them: a slow minute of the machine affects all.
func (o *options) measure(ctx context.Context, log io.Writer) (rows []record.Row) {
	rounds, pairs := 1, o.pairs
	if o.only == "transports" {
		rounds, pairs = o.pairs, 1
	}
	for round := range rounds {
		n := 0
		for _, e := range o.experiments() {
			if o.rows != nil && !o.rows.MatchString(e.Key) || ctx.Err() != nil {
				continue
			}
			for _, row := range e.Run(ctx, pairs, log) {
				if round == 0 {
					rows = append(rows, row)
				} else if rows[n].A = append(rows[n].A, row.A...); row.Error != "" {
					rows[n].Error = row.Error
				}
				n++
			}
		}
	}
	return rows
}

// write writes r. Failed rows are written, too, and reported as an error.
func (o *options) write(r *record.Record, stdout io.Writer) error {
	if len(r.Rows) == 0 {
		return errors.New("--rows: no experiment has such a key (see --list)")
	}
	text, err := document.Table(r)
	if err != nil {
		return err
	}
	aligned := tabwriter.NewWriter(stdout, 0, 0, 1, ' ', 0)
	fmt.Fprint(aligned, strings.ReplaceAll(text, " | ", "\t| "))
	if err := aligned.Flush(); err != nil {
		return err
	}
	if o.json != "" {
		if err := r.Write(o.json); err != nil {
			return err
		}
	}
	for _, row := range r.Rows {
		if row.Error != "" {
			return errors.New("some rows could not be measured")
		}
	}
	return nil
}

// commandLine is the command that produces the record, without paths of this machine.
func commandLine(args []string) string {
	line := []string{"scripts/bench.sh"}
	for i := 0; i < len(args); i++ {
		name, _, joined := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		switch {
		case name == "versus" && !joined && i+1 < len(args):
			program, rest, _ := strings.Cut(args[i+1], " ")
			line = append(line, args[i], filepath.Base(program)+" "+rest)
			i++
		case name != "peal" && name != "json":
			line = append(line, args[i])
		case !joined:
			i++ // the value
		}
	}
	return record.CommandLine(line)
}

// runMacros takes one sample of each macro-benchmark, then the next of each, so that
// a slow minute of the machine affects all. The first line is a comment, because
// benchstat must not compare by its content.
func (o *options) runMacros(ctx context.Context, stdout, stderr io.Writer) error {
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		commit = []byte("unknown") // outside a checkout
	}
	if _, err := fmt.Fprintf(stdout, "# %s, commit %s, %s, runs of %v\n", o.config.Peal.Label, strings.TrimSpace(string(commit)), runtime.Version(), o.config.Length); err != nil {
		return err
	}
	out := bench.NewSampleWriter(stdout)
	failed := 0
	for range o.count {
		for _, m := range o.selected() {
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
		return fmt.Errorf("%d samples could not be taken", failed)
	}
	return nil
}

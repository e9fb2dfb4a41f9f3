// Command run prints every row of the design's table of numbers for one Peal
// binary. scripts/bench.sh builds Peal and calls it.
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
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"peal/bench"
	"peal/loadtest"
	"peal/loadtest/hostile"
)

func main() {
	if loadtest.IsWorker() {
		// Ctrl-C goes to the whole foreground group; the parent decides.
		signal.Ignore(syscall.SIGINT)
		os.Exit(loadtest.WorkerMain(os.Stdin, os.Stdout))
	}
	if hostile.IsHostile() {
		os.Exit(hostile.Main(os.Stdin, os.Stdout))
	}
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
	pairs                  int
	short, list            bool
	rows                   string
	transports             bool
	memory                 bool
	json                   string
	length                 time.Duration
	macro                  macroOptions
	attacks                attackOptions
	config                 bench.Config
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.peal, "peal", "", "Peal's `binary`; empty: measure the ceiling in its place (checks the bench itself)")
	f.StringVar(&o.pealArgs, "peal-args", "--admin 127.0.0.1:{admin}", "further arguments of 'peal serve', divided at spaces; {port}, {admin} and {loops} are replaced")
	f.StringVar(&o.versus, "versus", "", "`command` line of a server to compare with instead of the ceiling, with {port} and perhaps {loops}; it must speak Peal's paths")
	f.IntVar(&o.pairs, "pairs", 5, "how many interleaved pairs of each row")
	f.BoolVar(&o.short, "short", false, "a quick pass: one pair, small numbers")
	f.StringVar(&o.rows, "rows", "", "only the experiments whose key matches this `regexp` (see --list)")
	f.BoolVar(&o.list, "list", false, "list the experiments' keys")
	f.BoolVar(&o.transports, "transports", false, "only compare the transports, in --pairs rounds: the table of docs/transports.md")
	f.BoolVar(&o.memory, "memory", false, "only the three kinds of memory of an idle connection")
	f.StringVar(&o.json, "json", "", "`file` for all samples and the environment: see bench/record")
	f.DurationVar(&o.length, "length", 0, "of each measured run (default 4s, 1s with --short)")
	o.macro.flags(f)
	o.attacks.flags(f)
	rate := f.Float64("open-rate", 0, "messages per second of the open loop; 0: half of the ceiling's closed loop")
	publishers := f.Int("publishers", 64, "connections of the HTTP publication row")
	loops := f.Int("loops", 0, "Peal's loops where it is not compared with the ceiling (default 2)")
	var m bench.Metrics
	f.StringVar(&m.URL, "metrics-url", "http://{admin}/metrics", "where Peal shows its metrics")
	f.StringVar(&m.LoopConnections, "metric-loop-connections", "peal_connections", "`name` of the gauge with the connections of each loop; empty: the imbalance is not measured")
	if err := f.Parse(args); err != nil {
		return o, errors.Join(errUsage, err)
	}
	if f.NArg() > 0 || o.pairs < 1 || o.macro.count < 1 || (m.URL == "") != (m.LoopConnections == "") {
		fmt.Fprintln(stderr, "bench: no arguments but flags; numbers at least 1; --metrics-url and --metric-loop-connections go together")
		return o, errUsage
	}
	o.config = bench.Full()
	if o.short {
		o.config = bench.Short()
		if !isSet(f, "pairs") {
			o.pairs = 1
		}
	}
	if o.macro.gate {
		o.config = bench.GateSizes()
	}
	if o.length > 0 {
		o.config.Length = o.length
	}
	if *loops > 0 {
		o.config.Loops = *loops
	}
	o.config.Publishers = *publishers
	o.config.OpenRate, o.config.Metrics = *rate, m
	if o.peal == "" {
		o.config.Metrics = bench.Metrics{} // the ceiling has none
	}
	return o, nil
}

func isSet(f *flag.FlagSet, name string) (set bool) {
	f.Visit(func(g *flag.Flag) { set = set || g.Name == name })
	return set
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	only, err := regexp.Compile(o.rows)
	if err != nil {
		return fmt.Errorf("--rows: %w", err)
	}
	if o.list && o.macro.on {
		for _, m := range o.macros() {
			fmt.Fprintln(stdout, m.Name)
		}
		return nil
	}
	if o.list {
		for _, e := range o.experiments() {
			fmt.Fprintln(stdout, e.Key)
		}
		return nil
	}
	if o.attacks.on {
		if o.peal == "" {
			return errors.New("--attacks: which --peal?")
		}
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
	if o.macro.on {
		return o.runMacros(ctx, stdout, stderr)
	}
	if err := environment(stdout); err != nil {
		return err
	}
	r, err := o.newRecord(ctx, args)
	if err != nil {
		return err
	}
	if o.transports {
		rows, err := o.config.Transports(ctx, o.pairs, stdout, stderr)
		return errors.Join(err, o.keep(r, rows))
	}
	var outcomes []bench.Outcome
	for _, e := range o.experiments() {
		if only.MatchString(e.Key) && ctx.Err() == nil {
			outcomes = append(outcomes, e.Run(ctx, o.pairs, stderr)...)
		}
	}
	fmt.Fprintf(stdout, "\nA: %s; B: %s, unless the row says otherwise. Medians [smallest–greatest] of %d interleaved pairs.\n",
		o.config.Peal.Name(), o.config.Ceiling.Name(), o.pairs)
	if o.config.Metrics.LoopConnections == "" {
		fmt.Fprintln(stdout, "Imbalance between loops and bytes held: n/a without metrics.")
	}
	fmt.Fprintln(stdout)
	if err := errors.Join(bench.WriteTable(stdout, outcomes), o.keep(r, outcomes)); err != nil {
		return err
	}
	for i := range outcomes {
		if outcomes[i].Err != nil {
			return errors.New("some rows could not be measured")
		}
	}
	return ctx.Err()
}

// servers sets the two sides.
func (o *options) servers(ctx context.Context, dir string) error {
	ceiling, err := bench.BuildCeiling(ctx, dir)
	if err != nil {
		return err
	}
	o.config.Ceiling, o.config.Peal = ceiling, ceiling
	if o.versus != "" {
		o.config.Ceiling = &bench.Command{Label: "versus", Args: strings.Fields(o.versus), Dialect: bench.PealDialect}
	}
	if o.peal != "" {
		if _, err := exec.LookPath(o.peal); err != nil {
			return fmt.Errorf("--peal: %w", err)
		}
		o.config.Peal = bench.Peal(o.peal, strings.Fields(o.pealArgs)...)
	}
	return nil
}

// environment prints what the numbers depend on.
func environment(w io.Writer) error {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease") // missing: printed empty
	congestion, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Fprintf(w, "%s, %d CPUs, Linux %s, %s, %s, load before %s", time.Now().Format(time.RFC3339), runtime.NumCPU(),
		strings.TrimSpace(string(kernel)), strings.TrimSpace(string(congestion)), runtime.Version(), load)
	cost, err := bench.BareSend()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "a bare send of 130 bytes costs %.2f µs of CPU here (for comparing machines; no bound)\n", cost.Seconds()*1e6)
	return nil
}

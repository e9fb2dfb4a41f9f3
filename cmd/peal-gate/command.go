package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"peal/bench"
	"peal/bench/gate"
)

// exitError is an end with a code of its own.
type exitError struct {
	error
	code int
}

func (e exitError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usage(fmt.Errorf(format+" (see: peal-gate --help)", args...))
}

// usage makes err a mistake in what was asked for.
func usage(err error) error { return exitError{err, gate.ExitUsage} }

// exitCode is 4 for whatever kept it from measuring.
func exitCode(err error) int {
	var e exitError
	if errors.As(err, &e) {
		return e.code
	}
	return gate.ExitFailed
}

// options are the flags.
type options struct {
	base, head                 string
	baseCmd, headCmd, scenario string
	baseline, saveBaseline     string
	config                     string
	pairs                      int
	only                       string
	exactOnly                  bool
	json, markdown, benchOut   string
	plant                      string
	onlyRE                     *regexp.Regexp
	repository                 string
}

func command(macros []bench.Macro, stdout, stderr io.Writer) *cobra.Command {
	o := options{}
	c := &cobra.Command{
		Use:   "peal-gate",
		Short: "Fail when a change makes the server worse",
		Long: `Builds two commits in a temporary folder, measures both in turns with the
benchmarks of this checkout, and says what is worse by more than bench/gate.yaml
allows. Progress is on standard error, the result on standard output.

Exit code: 0 pass, 1 regression, 2 usage, 3 unstable: this machine could not have
seen what it must, 4 could not measure. See docs/gate.md.`,
		Example: `  peal-gate --base origin/main
  peal-gate --base v1.2.0 --head feature --only '^Fanout' --json r.json
  peal-gate --base HEAD~1 --deterministic
  peal-gate --deterministic --save-baseline bench/baseline.json
  peal-gate --deterministic --baseline bench/baseline.json
  peal-gate --base-cmd './old --port {port}' --head-cmd './new --port {port}' --scenario chat.yaml`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("%q: takes flags only", args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(c.Flags().Changed); err != nil {
				return err
			}
			return judge(c.Context(), &o, macros, stdout, stderr)
		},
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	c.SetOut(stdout)
	c.SetErr(stderr)
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usagef("%w", err) })
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.base, "base", "", "commit, branch or tag to compare with")
	f.StringVar(&o.head, "head", "", "commit, branch or tag to judge (default: the working tree as it is)")
	f.IntVar(&o.pairs, "pairs", 0, "samples of each side where figures are noisy, at least 10 (default: the configuration's)")
	f.StringVar(&o.only, "only", "", "only the benchmarks whose name this regular expression matches")
	f.BoolVar(&o.exactOnly, "deterministic", false, "judge only figures that are counted: a few samples, on any machine")
	f.StringVar(&o.config, "config", "bench/gate.yaml", "what is judged, and how strictly")
	f.StringVar(&o.baseline, "baseline", "", "compare with figures kept in this file instead of a commit")
	f.StringVar(&o.saveBaseline, "save-baseline", "", "file to keep the figures of head in, if they are stable")
	f.StringVar(&o.baseCmd, "base-cmd", "", "command line of another server to compare with; {port}, {admin} and {loops} are replaced")
	f.StringVar(&o.headCmd, "head-cmd", "", "command line of the server to judge")
	f.StringVar(&o.scenario, "scenario", "", "file that says how they are measured and judged")
	f.StringVar(&o.json, "json", "", "file for the result as JSON; - for standard output")
	f.StringVar(&o.markdown, "markdown", "-", "file for the result as Markdown; - for standard output, '' for none")
	f.StringVar(&o.benchOut, "bench-out", "", "folder for the samples as Go benchmark results, base.txt and head.txt, for benchstat")
	f.StringVar(&o.repository, "repository", ".", "the checkout to work in")
	f.StringVar(&o.plant, "plant", "", "put a regression into head: "+strings.Join(gate.PlantNames(), ", "))
	_ = f.MarkHidden("plant")      // it tests the gate
	_ = f.MarkHidden("repository") // cd does it
	c.AddCommand(newTally(stdout))
	return c
}

// check names all mistakes that can be seen before anything is read.
func (o *options) check(given func(flag string) bool) (err error) {
	var faults []string
	must := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	others := o.baseCmd != "" || o.headCmd != "" || o.scenario != ""
	ways := slices.DeleteFunc([]string{o.base, o.baseline, o.baseCmd}, func(way string) bool { return way == "" })
	must(len(ways) <= 1, "--base, --baseline and --base-cmd: only one of them")
	must(len(ways) == 1 || o.saveBaseline != "", "--base: what to compare with (or --baseline, or --base-cmd, or --save-baseline alone)")
	must(!others || o.headCmd != "" && o.scenario != "", "--head-cmd and --scenario: both, for other servers")
	must(!others || o.head == "" && o.base == "" && o.plant == "" && !given("config"), "--base, --head and --config: not with --scenario")
	must(!given("pairs") || o.pairs >= 10, "--pairs %d: at least 10", o.pairs)
	must(!given("pairs") || !o.exactOnly, "--pairs: not with --deterministic")
	must(o.json != "-" || o.markdown != "-" || !given("markdown"), "--json and --markdown: only one on standard output")
	if o.json == "-" && o.markdown == "-" {
		o.markdown = ""
	}
	if o.onlyRE, err = regexp.Compile(o.only); err != nil {
		faults = append(faults, "--only: "+err.Error())
	}
	if len(faults) > 0 {
		return usagef("%s", strings.Join(faults, "; "))
	}
	return nil
}

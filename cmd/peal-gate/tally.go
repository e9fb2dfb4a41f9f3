package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"peal/bench/gate"
)

// newTally counts the verdicts of several results: how often an A/A run raised a false
// alarm, or how often a planted regression was found.
func newTally(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "tally RESULT.json...",
		Short: "Count the verdicts of several results, by figure",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("tally: name the files of the results")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			var all []*gate.Result
			for _, name := range args {
				r, err := gate.ReadResult(name)
				if err != nil {
					return usage(err)
				}
				all = append(all, r)
			}
			return tally(stdout, all)
		},
	}
}

// key is one figure over several runs.
type key struct{ benchmark, unit string }

func tally(w io.Writer, all []*gate.Result) error {
	var keys []key
	counts, ends, changes := map[key]map[gate.Verdict]int{}, map[key][]float64{}, map[key][]float64{}
	exits := [5]int{}
	for _, r := range all {
		if r.Exit >= 0 && r.Exit < len(exits) {
			exits[r.Exit]++
		}
		for _, f := range r.Figures {
			k := key{f.Benchmark, f.Unit}
			if f.Verdict == gate.NotJudged {
				continue
			}
			if counts[k] == nil {
				keys, counts[k] = append(keys, k), map[gate.Verdict]int{}
			}
			counts[k][f.Verdict]++
			if f.ChangePercent != nil {
				changes[k] = append(changes[k], *f.ChangePercent)
			}
			if f.LowPercent != nil && f.HighPercent != nil {
				ends[k] = append(ends[k], *f.LowPercent, *f.HighPercent)
			}
		}
	}
	fmt.Fprintf(w, "%d runs: %d pass, %d regression, %d unstable, %d could not measure\n\n", len(all),
		exits[gate.ExitPass], exits[gate.ExitRegression], exits[gate.ExitUnstable], exits[gate.ExitFailed])
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "| Benchmark\t| Figure\t| worse\t| better\t| unstable\t| pass\t| change\t| intervals\t|")
	fmt.Fprintln(t, "| ---\t| ---\t| ---:\t| ---:\t| ---:\t| ---:\t| ---\t| ---\t|")
	for _, k := range keys {
		c := counts[k]
		fmt.Fprintf(t, "| %s\t| %s\t| %d\t| %d\t| %d\t| %d\t| %s\t| %s\t|\n", k.benchmark, k.unit,
			c[gate.Worse]+c[gate.Gone], c[gate.Better], c[gate.Unstable], c[gate.Same], percents(changes[k], "%+.1f"), percents(ends[k], "%+.1f"))
	}
	return t.Flush()
}

// percents writes the range of v.
func percents(v []float64, format string) string {
	if len(v) == 0 {
		return "–"
	}
	return fmt.Sprintf(format+" to "+format+" %%", slices.Min(v), slices.Max(v))
}

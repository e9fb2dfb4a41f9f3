package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"

	"peal/bench"
	"peal/bench/attacks"
)

// attackOptions are the flags of the attacks.
type attackOptions struct {
	on, quick, bench bool
	only             *regexp.Regexp // nil: all
	versus           string
	given            attacks.Size // 0: the default
}

func (o *attackOptions) flags(f *flag.FlagSet) {
	expression(f, &o.on, &o.only, "attacks", "only the attacks (--attacks=`regexp`: those with a matching name): the cost of hostile clients for 1,000 honest ones, as one Markdown table")
	f.StringVar(&o.versus, "attacks-versus", "", "another `peal` binary; its rows come first, as \"before\"")
	f.DurationVar(&o.given.Length, "attack-length", 0, "of each attack (default 6s)")
	f.IntVar(&o.given.Honest, "honest", 0, "honest subscribers (default 1,000)")
	f.IntVar(&o.given.Clients, "hostile", 0, "hostile clients (default 16)")
	f.IntVar(&o.given.Connections, "connections", 0, "connections of attacks that need many (default 3,000)")
	f.IntVar(&o.given.Crowd, "crowd", 0, "further connections, for attacks that have a crowd (default 10,000)")
	f.IntVar(&o.given.Sources, "hostile-sources", 1, "addresses of the hostile clients; 0: the honest clients' own")
	f.BoolVar(&o.quick, "quick", false, "with --attacks: small sizes, which only show that an attack works")
	f.BoolVar(&o.bench, "attacks-format-bench", false, "with --attacks: Go's benchmark format instead of a table")
}

func (o *attackOptions) size() attacks.Size {
	s := attacks.Full()
	if o.quick {
		s = attacks.Quick()
	}
	g := &o.given
	s.Length, s.Sources = cmp.Or(g.Length, s.Length), g.Sources
	s.Honest, s.Clients = cmp.Or(g.Honest, s.Honest), cmp.Or(g.Clients, s.Clients)
	s.Connections, s.Crowd = cmp.Or(g.Connections, s.Connections), cmp.Or(g.Crowd, s.Crowd)
	return s
}

// runAttacks measures each attack on each build, one build after another, and writes
// the table at the end. Attacks that fail are omitted, and reported as an error at
// the end.
func (o *options) runAttacks(ctx context.Context, stdout, stderr io.Writer) error {
	builds := []attacks.Build{{Label: "peal", Peal: o.peal}}
	if o.attacks.versus != "" {
		builds = []attacks.Build{{Label: "before", Peal: o.attacks.versus}, {Label: "after", Peal: o.peal}}
	}
	size := o.attacks.size()
	var all []attacks.Outcome
	failed := 0
	for _, a := range size.Matching(o.attacks.only) {
		for _, b := range builds {
			outcome, err := attacks.Measure(ctx, b, a, size)
			if ctx.Err() != nil {
				break
			}
			if err != nil {
				fmt.Fprintf(stderr, "%v\n", err)
				failed++
				continue
			}
			fmt.Fprintf(stderr, "%s on %s: measured\n", a.Name, b.Label)
			all = append(all, outcome)
		}
	}
	if err := o.writeAttacks(stdout, all); err != nil {
		return err
	}
	if failed > 0 {
		return errors.New("some attacks could not be measured")
	}
	return ctx.Err()
}

func (o *options) writeAttacks(w io.Writer, all []attacks.Outcome) error {
	if !o.attacks.bench {
		return attacks.WriteTable(w, all)
	}
	out := bench.NewSampleWriter(w)
	for i := range all {
		if err := out.Write("Attack/attack="+all[i].Attack+"/build="+all[i].Build, all[i].Measures()); err != nil {
			return err
		}
	}
	return nil
}

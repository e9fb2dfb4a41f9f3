package gate

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"peal/bench"
	"peal/bench/record"
)

// Schema is the version of the JSON form.
const Schema = 2

// Verdict is the judgement of one figure.
type Verdict string

const (
	Worse     Verdict = "regression" // worse by more than allowed
	Gone      Verdict = "gone"       // a judged figure that head no longer reports
	Broken    Verdict = "broken"     // head fails a benchmark that base passes
	Failed    Verdict = "failed"     // could not be measured
	Unstable  Verdict = "unstable"   // samples disagree, or spread too much to detect a regression
	Better    Verdict = "better"     // better by more than would be allowed if it were worse
	Same      Verdict = "pass"
	New       Verdict = "new"        // base does not report it
	NotJudged Verdict = "not judged" // of kind shown, or noisy if only exact figures are judged
)

// Exit codes of peal-gate. If several apply, the first of 1, 4, 3 is used: a proven
// regression counts, whatever could not be measured.
const (
	ExitPass       = 0
	ExitRegression = 1
	ExitUsage      = 2
	ExitUnstable   = 3
	ExitFailed     = 4
)

// exit returns the exit code of a verdict.
func (v Verdict) exit() int {
	switch v {
	case Worse, Gone, Broken:
		return ExitRegression
	case Failed:
		return ExitFailed
	case Unstable:
		return ExitUnstable
	}
	return ExitPass
}

// Result is the result of a run.
type Result struct {
	Schema      int            `json:"schema"`
	Began       time.Time      `json:"began"`
	Took        float64        `json:"took_s"`
	Environment record.Machine `json:"environment"`
	Base        Build          `json:"base"`
	Head        Build          `json:"head"`
	ExactOnly   bool           `json:"deterministic"` // noisy figures were not judged
	Config      *Config        `json:"config"`
	Intervals   *Intervals     `json:"intervals,omitempty"`        // of the noisy figures; nil without any
	Allowed     []string       `json:"allowed,omitempty"`          // what --allow names
	Changes     []Change       `json:"config_changes,omitempty"`   // of limits, from base to head
	Rewritten   []Change       `json:"baseline_changes,omitempty"` // of figures kept in the repository, from base to head
	Notes       []string       `json:"notes,omitempty"`
	Figures     []Figure       `json:"figures"`
	Failures    []Failure      `json:"failures,omitempty"`
	Drifts      []Drift        `json:"drifts,omitempty"` // of --history
	Exit        int            `json:"exit"`

	catalogue []string // base's benchmarks; nil: not known
	vanished  []string // those of them that head lacks
	expected  []Figure // that base keeps in its repository
}

// Intervals are what the intervals of all noisy figures have in common.
type Intervals struct {
	Figures int     `json:"figures"`
	Level   float64 `json:"level"` // the probability that one of them misses, at one look; of its lower end: half of that
	// Passing is the probability that the upper end of one is below the truth, at each look.
	Passing     [2]float64 `json:"passing"`
	FewestPairs int        `json:"fewest_pairs"` // that this level needs
}

// Build is one of the two builds.
type Build struct {
	Name    string `json:"name"` // as given: a ref, "working tree", a command line, a file
	Commit  string `json:"commit,omitempty"`
	Changed bool   `json:"changed,omitempty"` // the working tree differs from the commit
	SHA256  string `json:"sha256,omitempty"`  // of the binary
}

// Figure is one unit of one benchmark. Absent numbers are nil, and not in the JSON.
type Figure struct {
	Benchmark string    `json:"benchmark"`
	Unit      string    `json:"unit"`
	Kind      Kind      `json:"kind"`
	Base      []float64 `json:"base,omitempty"` // samples, in the order they were taken
	Head      []float64 `json:"head,omitempty"`
	// ChangePercent is nil if the median of base is 0. That of noisy figures is the
	// Hodges–Lehmann estimate from pairs, and has an interval.
	BaseMedian    *float64 `json:"base_median,omitempty"`
	HeadMedian    *float64 `json:"head_median,omitempty"`
	ChangePercent *float64 `json:"change_percent,omitempty"`
	LowPercent    *float64 `json:"low_percent,omitempty"` // nil: not limited, or not judged
	HighPercent   *float64 `json:"high_percent,omitempty"`
	// Limit is how much worse is allowed: in the unit for exact figures, in percent
	// for noisy ones.
	Limit   *float64 `json:"limit,omitempty"`
	Verdict Verdict  `json:"verdict"`
	Why     string   `json:"why,omitempty"`
}

// Failure is a benchmark with failed runs.
type Failure struct {
	Benchmark string  `json:"benchmark"`
	Side      string  `json:"side"` // "base" or "head"
	Failed    int     `json:"failed"`
	Passed    int     `json:"passed"`
	Error     string  `json:"error"` // the last
	Verdict   Verdict `json:"verdict"`
}

// Write writes r as JSON.
func (r *Result) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// ReadResult reads a file that Write wrote.
func ReadResult(file string) (*Result, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var r Result
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%s is not a result of peal-gate: %w", file, err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("%s: unknown schema %d, this version reads %d", file, r.Schema, Schema)
	}
	if r.Config != nil {
		if err := r.Config.complete(); err != nil {
			return nil, fmt.Errorf("%s: config: %w", file, err)
		}
	}
	return &r, nil
}

// Allows reports whether --allow names what.
func (r *Result) Allows(what string) bool { return slices.Contains(r.Allowed, what) }

// Expect sets what base has, so that head can be compared with it: the names of its
// benchmarks, nil if they are not known, and the figures that its repository keeps, nil
// without any. macros are head's.
func (r *Result) Expect(catalogue []string, kept *Result, macros []bench.Macro) {
	r.catalogue = catalogue
	for _, name := range catalogue {
		if !slices.ContainsFunc(macros, func(m bench.Macro) bool { return m.Name == name }) {
			r.vanished = append(r.vanished, name)
		}
	}
	if kept != nil {
		r.expected = kept.Figures
	}
}

// baseHas reports whether base is known to have a benchmark that --allow does not name.
func (r *Result) baseHas(benchmark string) bool {
	return slices.Contains(r.catalogue, benchmark) && !r.Allows(benchmark)
}

// settle sets Exit from the verdicts. A run that compared nothing has failed, and so has
// a head that raises the figures it will be compared with.
func (r *Result) settle() {
	seen, judged := map[int]bool{}, false
	for _, f := range r.Figures {
		seen[f.Verdict.exit()] = true
		judged = judged || f.Verdict != NotJudged && (f.Verdict != New || r.alone())
	}
	for _, f := range r.Failures {
		seen[f.Verdict.exit()] = true
	}
	switch {
	case seen[ExitRegression] || r.rewritten() > 0:
		r.Exit = ExitRegression
	case seen[ExitFailed] || !judged && !seen[ExitUnstable]:
		r.Exit = ExitFailed
	case seen[ExitUnstable]:
		r.Exit = ExitUnstable
	default:
		r.Exit = ExitPass
	}
}

// rewritten is how many figures of the repository head raises without leave.
func (r *Result) rewritten() int {
	if r.Allows("baseline.json") {
		return 0
	}
	return raised(r.Rewritten)
}

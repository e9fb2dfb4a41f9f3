package gate

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"peal/bench/record"
)

// Row is one run in a history: a line of JSON.
type Row struct {
	Time    time.Time          `json:"time"`
	Base    string             `json:"base,omitempty"` // commits
	Head    string             `json:"head"`
	Machine record.Machine     `json:"machine"`
	Figures map[string]float64 `json:"figures"` // head's medians, by "benchmark: unit"
}

// Drift is a figure whose level changed in the course of a history, in one step or in
// many small ones.
type Drift struct {
	Figure        string   `json:"figure"`
	At            []string `json:"at"` // commits at which a new level begins
	First         float64  `json:"first"`
	Last          float64  `json:"last"` // medians of the first level and of the last
	ChangePercent *float64 `json:"change_percent,omitempty"`
	Runs          int      `json:"runs"`
}

const (
	historyRuns  = 100  // the latest runs are searched
	historyLevel = 0.01 // chance of a drift in any figure of a history without one
	leastSegment = 5    // runs on a level
	leastPercent = 1    // smaller drifts are not shown
)

// Record appends the run to the history in a file, and searches the rows of this machine
// for drifts. A file that does not exist is an empty history.
func (r *Result) Record(file string) error {
	rows, err := readHistory(file)
	if err != nil {
		return err
	}
	row := Row{r.Began, r.Base.Commit, r.Head.Commit, r.Environment, map[string]float64{}}
	for _, f := range r.Figures {
		if f.HeadMedian != nil {
			row.Figures[f.Benchmark+": "+f.Unit] = *f.HeadMedian
		}
	}
	r.Drifts = drifts(append(rows, row), row)
	line, err := json.Marshal(row)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	_, err = out.Write(append(line, '\n'))
	return errors.Join(err, out.Close())
}

func readHistory(file string) (rows []Row, err error) {
	in, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	defer in.Close()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var row Row
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, fmt.Errorf("history: %s, line %d: %w", file, len(rows)+1, err)
		}
		rows = append(rows, row)
	}
	return rows, lines.Err()
}

// drifts searches the figures of now, the last row, in the rows of its machine.
func drifts(rows []Row, now Row) (all []Drift) {
	random := rand.New(rand.NewPCG(1, 2)) // the same history gives the same drifts
	for _, figure := range slices.Sorted(maps.Keys(now.Figures)) {
		var v []float64
		var of []*Row
		for i := range rows {
			if x, is := rows[i].Figures[figure]; is && rows[i].Machine == now.Machine {
				v, of = append(v, x), append(of, &rows[i])
			}
		}
		first := max(len(v)-historyRuns, 0)
		v, of = v[first:], of[first:]
		at := changePoints(random, v, historyLevel/float64(len(now.Figures)))
		if len(at) == 0 {
			continue
		}
		d := Drift{Figure: figure, First: record.Median(v[:at[0]]), Last: record.Median(v[at[len(at)-1]:]), Runs: len(v)}
		d.ChangePercent = finite(100 * (d.Last/d.First - 1))
		for _, i := range at {
			d.At = append(d.At, of[i].Head)
		}
		if d.ChangePercent == nil || math.Abs(*d.ChangePercent) >= leastPercent {
			all = append(all, d)
		}
	}
	return all
}

// changePoints returns the places in v where a new level begins: E-divisive with means.
// It divides v where the energy statistic of both parts is greatest, if at most a share
// of level of random permutations of v reaches that, and then each part.
// Source: Matteson, James: A Nonparametric Approach for Multiple Change Point Analysis of
// Multivariate Data, JASA 109 (2014), with α = 1; each part is tested by itself.
func changePoints(random *rand.Rand, v []float64, level float64) []int {
	at, q := divide(v)
	if q <= 0 {
		return nil
	}
	mixed := slices.Clone(v)
	for range int(1/level) - 1 {
		random.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		if _, other := divide(mixed); other >= q {
			return nil // the share is now above level
		}
	}
	all := append(changePoints(random, v[:at], level), at)
	for _, later := range changePoints(random, v[at:], level) {
		all = append(all, at+later)
	}
	return all
}

// divide returns where v is divided best, and the energy statistic there: 0 if v is too
// short. The right part may end before v does, so that a later change does not hide one.
func divide(v []float64) (at int, best float64) {
	sums := make([][]float64, len(v)+1) // sums[i][j]: of the distances between v[:i] and v[:j]
	sums[0] = make([]float64, len(v)+1)
	for i, x := range v {
		sums[i+1] = make([]float64, len(v)+1)
		row := 0.0
		for j, y := range v {
			row += math.Abs(x - y)
			sums[i+1][j+1] = sums[i][j+1] + row
		}
	}
	for i := leastSegment; i <= len(v)-leastSegment; i++ {
		for end := i + leastSegment; end <= len(v); end++ {
			n, m := float64(i), float64(end-i)
			left, between := sums[i][i], sums[i][end]-sums[i][i]
			right := sums[end][end] - left - 2*between
			if q := n * m / (n + m) * (2*between/(n*m) - left/(n*(n-1)) - right/(m*(m-1))); q > best {
				at, best = i, q
			}
		}
	}
	return at, best
}

package settings

import (
	"fmt"
	"strings"
)

// Fault is one mistake in a configuration.
type Fault struct {
	Where string // "--drain", "PEAL_DRAIN" or "peal.yaml, line 3: drain"
	What  string // what is wrong and what to change
}

func (f Fault) Error() string { return f.Where + ": " + f.What }

// Faults are all mistakes of a configuration.
type Faults []error

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, err := range f {
		lines[i] = err.Error()
	}
	if len(lines) == 1 {
		return lines[0]
	}
	return fmt.Sprintf("%d faults in the configuration:\n  %s", len(lines), strings.Join(lines, "\n  "))
}

// Unwrap leads errors.As to each fault.
func (f Faults) Unwrap() []error { return f }

// Nearest is the known name that name was most likely meant to be, "" if none
// is near.
func Nearest(name string, known []string) string {
	best, least := "", max(2, len(name)/3)+1
	for _, k := range known {
		if d := distance(name, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is how many bytes must be inserted, removed or replaced to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// meant says what an unknown name was probably meant to be.
func meant(name string, known []string) string {
	if k := Nearest(name, known); k != "" {
		return "unknown setting; did you mean " + k + "?"
	}
	return "unknown setting; see docs/configuration.md, or peal serve --print-config, for all there are"
}

package settings

import (
	"fmt"
	"strings"

	"peal/server/spelling"
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

// Unwrap lets errors.As find each fault.
func (f Faults) Unwrap() []error { return f }

// meant is the fault of an unknown name; it suggests the nearest known one.
func meant(name string, known []string) string {
	if k := spelling.Nearest(name, known); k != "" {
		return "unknown setting; did you mean " + k + "?"
	}
	return "unknown setting; docs/configuration.md and peal serve --print-config list all settings"
}

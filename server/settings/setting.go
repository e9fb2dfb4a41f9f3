package settings

import (
	"strings"
	"time"

	"peal/loop/fanout"
	"peal/server"
	"peal/server/rate"
	"peal/server/rules"
)

// Setting is one setting.
type Setting struct {
	Name string // of the flag and the key; the variable's name follows from it

	// Help is one sentence, without the full stop: what the setting does and, for a
	// limit, what raising it costs.
	Help string

	// Min and Max are the range; bytes, nanoseconds or a plain number. A Max of 0
	// leaves the upper end to server.Config.Validate, or to the machine.
	Min, Max int64

	// Default is the default in words, if it depends on the machine or if it is an
	// empty value. "" for all others: see DefaultText.
	Default string

	Live bool // SIGHUP can change it: see server.Server.Reload

	secret bool                      // neither printed nor part of a fault
	redact func(value string) string // nil: the value may be printed as it is

	size bool // the number is one of bytes
	off  bool // 0 means none, which the field writes as -1

	// field is the place in c: *int, *bool, *string, *time.Duration, *[]int or
	// *[]string; of a rule also *fanout.Policy, *rules.Choice or *rules.Who.
	field func(c *server.Config) any
}

// Group is a section of the table: settings with a common subject.
type Group struct {
	Title    string
	About    string
	Settings []Setting
}

// All are the settings of all groups, in their order.
func All() (all []Setting) {
	for _, g := range Groups() {
		all = append(all, g.Settings...)
	}
	return all
}

// EnvironmentPrefix is the beginning of the name of every variable.
const EnvironmentPrefix = "PEAL_"

// Variable is the name in the environment.
func (s Setting) Variable() string {
	return EnvironmentPrefix + strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
}

// Kind names what a value is: switch, number, size, duration, text, list, policy or principal.
func (s Setting) Kind() string {
	switch s.field(new(server.Config)).(type) {
	case *bool, *rules.Choice:
		return "switch"
	case *fanout.Policy:
		return "policy"
	case *rate.Limit:
		return "rate"
	case *rules.Who:
		return "principal"
	case *time.Duration:
		return "duration"
	case *[]int, *[]string:
		return "list"
	case *string:
		return "text"
	}
	if s.size {
		return "size"
	}
	return "number"
}

// DefaultText is the default as the documentation shows it.
func (s Setting) DefaultText() string {
	if s.Default != "" {
		return s.Default
	}
	c := server.Config{}.WithDefaults()
	return s.text(&c)
}

// Range is the range in words, "" where there is none.
func (s Setting) Range() string {
	low, high := s.format(s.Min), s.format(s.Max)
	switch {
	case s.Min == 0 && s.Max == 0:
		return ""
	case s.Max == 0:
		return "at least " + low
	}
	return low + " to " + high
}

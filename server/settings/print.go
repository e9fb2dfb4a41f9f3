package settings

import (
	"fmt"
	"strings"
)

// YAML is the effective configuration as a file that --config reads, on any
// machine, with the purpose and the source of each value. Defaults that depend on
// this machine are comments. Secrets are not printed: their values must be set again.
func (s *Settings) YAML() string {
	effective := s.Config.WithDefaults()
	var b strings.Builder
	for _, g := range Groups() {
		fmt.Fprintf(&b, "# == %s\n\n", g.Title)
		for _, row := range g.Settings {
			fmt.Fprintf(&b, "# %s", row.Help)
			if r := row.Range(); r != "" {
				fmt.Fprintf(&b, " (%s)", r)
			}
			from, comment := "default", ""
			if row.Default != "" {
				from += ": " + row.Default
			}
			source, set := s.Sources[row.Name]
			switch {
			case set:
				from = "from " + source
			case row.Default != "" && row.Kind() == "number": // differs between machines
				comment = "# "
			}
			fmt.Fprintf(&b, "\n%s%s: %s # %s\n\n", comment, row.Name, row.shown(&effective), from)
		}
	}
	for i, list := range Lists() {
		if i > 0 {
			b.WriteString("\n")
		}
		s.appendList(&b, list)
	}
	return b.String()
}

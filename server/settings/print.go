package settings

import (
	"fmt"
	"strings"
)

// YAML is the effective configuration as a file that --config reads, each value
// with what it is for and where it came from.
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
			from := "default"
			if row.Default != "" {
				from += ": " + row.Default
			}
			if source, ok := s.Sources[row.Name]; ok {
				from = "from " + source
			}
			fmt.Fprintf(&b, "\n%s: %s # %s\n\n", row.Name, row.text(&effective), from)
		}
	}
	s.appendRules(&b)
	return b.String()
}

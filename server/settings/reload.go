package settings

import "reflect"

// Change is one setting that differs between two configurations.
type Change struct {
	Name   string
	Source string // where the new value comes from; "default"
	Live   bool   // a running server can apply it
}

// Changes are the settings whose effective values differ in next, in the order
// of the table, the lists last.
func (s *Settings) Changes(next *Settings) (all []Change) {
	a, b := s.Config.WithDefaults(), next.Config.WithDefaults()
	add := func(name string, live bool) {
		source, ok := next.Sources[name]
		if !ok {
			source = "default"
		}
		all = append(all, Change{name, source, live})
	}
	for _, row := range All() {
		if row.text(&a) != row.text(&b) {
			add(row.Name, row.Live)
		}
	}
	for _, list := range Lists() {
		if !list.equal(&a, &b) {
			add(list.Key, list.live(a, b))
		}
	}
	return all
}

// Take is s with the values that next has for these settings.
func (s *Settings) Take(next *Settings, names []string) *Settings {
	taken := &Settings{Config: s.Config, Sources: map[string]string{}, Files: next.Files}
	for name, source := range s.Sources {
		taken.Sources[name] = source
	}
	for _, name := range names {
		delete(taken.Sources, name)
		if source, ok := next.Sources[name]; ok {
			taken.Sources[name] = source
		}
		for _, list := range Lists() {
			if list.Key == name {
				list.value(&taken.Config).Set(list.value(&next.Config))
			}
		}
		for _, row := range All() {
			if row.Name == name {
				value := reflect.ValueOf(row.field(&next.Config)).Elem()
				reflect.ValueOf(row.field(&taken.Config)).Elem().Set(value)
			}
		}
	}
	return taken
}

package settings

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"peal/server"
)

// List is a list of mappings in the configuration file, as the rules for channels
// are. There is neither a flag nor a variable for its items.
type List struct {
	Key   string // of the file, under which the list is
	Title string // of the section that describes it
	Items string // what it is a list of, in the plural
	Help  string // one sentence, without the full stop

	// Settings are the keys of one item. They set fields of the last item of a
	// Config; a Config without items gets one.
	Settings []Setting

	// Files is the setting that names files with further items, under the same key. ""
	// if there is none.
	Files string

	example string // a line of an item, as in match: "news.*"

	// items is the place in c, a pointer to a slice.
	items func(c *server.Config) any

	// live reports whether a running server can replace the items of a by those of b.
	live func(a, b server.Config) bool

	// index is that of the item that an error of server.Config.Validate is about.
	index func(err error) (i int, ok bool)
}

// Lists are the lists of the file, in their order.
func Lists() []List {
	return []List{backendKeys, operatorKeys, pusherApps, webhooks, asking, channelRules}
}

// variable is the name that the list would have in the environment.
func (l List) variable() string { return Setting{Name: l.Key}.Variable() }

// elsewhere completes a sentence about where the items are set.
func (l List) elsewhere() string {
	if l.Files == "" {
		return ""
	}
	return ", or in a file that " + l.Files + " names"
}

func (l List) value(c *server.Config) reflect.Value { return reflect.ValueOf(l.items(c)).Elem() }

// equal reports whether two configurations have the same items.
func (l List) equal(a, b *server.Config) bool {
	v, w := l.value(a), l.value(b)
	return v.Len()+w.Len() == 0 || reflect.DeepEqual(v.Interface(), w.Interface())
}

// add appends an empty item.
func (l List) add(c *server.Config) {
	v := l.value(c)
	v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
}

// ofItem turns a field of an item into a field of a Config: that of its last item.
func ofItem[T any](items func(c *server.Config) *[]T, field func(item *T) any) func(c *server.Config) any {
	return func(c *server.Config) any {
		list := items(c)
		if len(*list) == 0 {
			*list = make([]T, 1)
		}
		return field(&(*list)[len(*list)-1])
	}
}

// faultAt turns the type of faults of a list into its index function.
func faultAt[F error](of func(F) int) func(error) (int, bool) {
	return func(err error) (int, bool) {
		var f F
		if !errors.As(err, &f) {
			return 0, false
		}
		return of(f), true
	}
}

// readList appends the items of n, which is in the file at path. An item with
// faults stays in the list.
func (l *loader) readList(list List, n *yaml.Node, path, source, where string) {
	if n.Kind != yaml.SequenceNode {
		l.fault(where, "must be a list of %s, as in - %s", list.Items, list.example)
		return
	}
	if earlier, ok := l.Sources[list.Key]; ok {
		source = earlier + " and " + source
	}
	l.Sources[list.Key] = source
	byName, names := map[string]Setting{}, []string{}
	for _, s := range list.Settings {
		names = append(names, s.Name)
		byName[s.Name] = s
	}
	for _, item := range n.Content {
		at := fmt.Sprintf("%s, line %d", path, item.Line)
		l.itemAt[list.Key] = append(l.itemAt[list.Key], at)
		list.add(&l.Config)
		if item.Kind != yaml.MappingNode {
			l.fault(at, "must be lines of the form name: value, as in %s", list.example)
			continue
		}
		l.mapping(item, path, names, func(key, value *yaml.Node, _, where string) {
			s := byName[key.Value]
			if values, ok := l.values(s, value, where); ok {
				l.take(s, where, values)
			}
		})
	}
}

// readFiles appends the items of the files that settings name.
func (l *loader) readFiles() {
	for _, list := range Lists() {
		l.inline[list.Key] = list.value(&l.Config).Len()
		if list.Files == "" {
			continue
		}
		for _, path := range *l.byName[list.Files].field(&l.Config).(*[]string) {
			root := l.root(path, l.Sources[list.Files]+": "+list.Files)
			if root == nil {
				continue
			}
			l.mapping(root, path, []string{list.Key}, func(_, value *yaml.Node, source, where string) {
				l.readList(list, value, path, source, where)
			})
		}
	}
}

// located gives a fault of an item its place in the file.
func (l *loader) located(err error) error {
	for _, list := range Lists() {
		if i, ok := list.index(err); ok && i < len(l.itemAt[list.Key]) {
			return Fault{l.itemAt[list.Key][i], err.Error()}
		}
	}
	return err
}

// appendList prints the items of a list, and of each the keys that it sets. Items from
// files of their own are comments: the setting that names the files brings them back.
func (s *Settings) appendList(b *strings.Builder, list List) {
	fmt.Fprintf(b, "# == %s\n\n# %s\n", list.Title, list.Help)
	all, inline := list.value(&s.Config), s.inline[list.Key]
	switch {
	case all.Len() == 0:
		fmt.Fprintf(b, "%s: [] # default: none\n", list.Key)
	case inline == 0:
		fmt.Fprintf(b, "# %s: # from %s\n", list.Key, s.Sources[list.Key])
	default:
		fmt.Fprintf(b, "%s: # from %s\n", list.Key, s.Sources[list.Key])
	}
	for i := range all.Len() {
		var one server.Config
		list.value(&one).Set(all.Slice(i, i+1))
		comment := ""
		if i >= inline {
			comment = "# "
		}
		list.appendItem(b, comment, &one, Setting.shown)
	}
}

// appendItem prints the only item of one, in lines that begin with comment. value
// prints a setting.
func (l List) appendItem(b *strings.Builder, comment string, one *server.Config, value func(Setting, *server.Config) string) {
	indent := "  - "
	for _, row := range l.Settings {
		if !reflect.ValueOf(row.field(one)).Elem().IsZero() {
			fmt.Fprintf(b, "%s%s%s: %s\n", comment, indent, row.Name, value(row, one))
			indent = "    "
		}
	}
}

package settings

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"peal/server"
)

// Input has the sources of values. Its zero value is a configuration of defaults.
type Input struct {
	Flags       map[string][]string // by setting, one value for each time the flag was given
	Environment []string            // as os.Environ returns it
	File        string              // path of a YAML file; "" for none, or PEAL_CONFIG
}

// Settings is a configuration and where each of its values came from.
type Settings struct {
	Config  server.Config     // zero values stand for defaults
	Sources map[string]string // by setting: "--drain", "PEAL_DRAIN", "peal.yaml, line 3"; none for a default
	Files   []string          // that were read, the configuration file first

	inline map[string]int // by list, how many of its items are in the configuration file itself
}

// ConfigVariable names the configuration file.
const ConfigVariable = EnvironmentPrefix + "CONFIG"

// notSettings are variables, and prefixes of variables (ending in *), that are not
// settings: the clients and the tests use them.
var notSettings = []string{
	ConfigVariable, "PEAL_URL", "PEAL_TOKEN", "PEAL_KEY", "PEAL_OPERATOR_KEY", "PEAL_E2E", "PEAL_E2E_SCREENSHOTS",
	"PEAL_SEED", "PEAL_SEEDS", "PEAL_LOOP_*", "PEAL_LOADTEST_*",
}

// Load reads in, the source of lowest precedence first. The error is Faults, with
// every mistake of every source, even if another source overrides the value.
func Load(in Input) (*Settings, error) {
	l := loader{
		Settings: Settings{Sources: map[string]string{}, inline: map[string]int{}},
		byName:   map[string]Setting{}, itemAt: map[string][]string{},
	}
	for _, s := range All() {
		l.names = append(l.names, s.Name)
		l.byName[s.Name] = s
	}
	if path := in.path(); path != "" {
		l.readFile(path)
	}
	l.readEnvironment(in.Environment)
	for _, name := range l.names {
		if values, ok := in.Flags[name]; ok {
			if s := l.byName[name]; s.Kind() == "list" {
				values = split(values)
			} else {
				values = values[len(values)-1:]
			}
			l.set(name, "--"+name, "--"+name, values)
		}
	}
	l.readFiles()
	l.readApp(in.Environment)
	l.Files = append(l.Files, l.Config.Token.Files()...)
	l.Files = append(l.Files, l.Config.MercureFiles()...)
	l.Files = append(l.Files, l.Config.TLSFiles()...)
	l.Files = append(l.Files, l.Config.AppSecretFiles()...)
	if err := l.Config.Validate(); err != nil {
		for _, part := range parts(err) {
			l.faults = append(l.faults, l.located(part))
		}
	}
	if len(l.faults) > 0 {
		return nil, l.faults
	}
	return &l.Settings, nil
}

// path is that of the configuration file, "" for none.
func (in Input) path() string {
	if in.File != "" {
		return in.File
	}
	for _, entry := range in.Environment {
		if path, ok := strings.CutPrefix(entry, ConfigVariable+"="); ok {
			return path
		}
	}
	return ""
}

// parts splits joined errors, so that each has its line.
func parts(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, parts(e)...)
	}
	return all
}

// split splits lists at their commas.
func split(values []string) []string {
	list := []string{}
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
	}
	return list
}

type loader struct {
	Settings
	byName map[string]Setting
	names  []string
	itemAt map[string][]string // by list, where each item begins: "peal.yaml, line 3"
	faults Faults
}

func (l *loader) fault(where, format string, args ...any) {
	l.faults = append(l.faults, Fault{where, fmt.Sprintf(format, args...)})
}

// set puts values, found at where, into the configuration.
func (l *loader) set(name, source, where string, values []string) {
	if l.take(l.byName[name], where, values) {
		l.Sources[name] = source
	}
}

// take puts the values of s into the configuration. It reports whether they are valid.
func (l *loader) take(s Setting, where string, values []string) bool {
	err := s.set(&l.Config, values)
	switch {
	case err != nil && s.secret:
		l.fault(where, "%v", err)
	case err != nil:
		l.fault(fmt.Sprintf("%s %q", where, strings.Join(values, ",")), "%v", err)
	}
	return err == nil
}

func (l *loader) readEnvironment(environment []string) {
	names, lists := map[string]string{}, map[string]List{}
	for _, list := range Lists() {
		lists[list.variable()] = list
	}
	var known []string
	for _, name := range l.names {
		v := l.byName[name].Variable()
		names[v] = name
		known = append(known, v)
	}
	for _, entry := range environment {
		variable, value, _ := strings.Cut(entry, "=")
		name, ok := names[variable]
		list, isList := lists[variable]
		switch {
		case isList:
			l.fault(variable, "%s are set in the configuration file only, under %s:%s", list.Items, list.Key, list.elsewhere())
		case !strings.HasPrefix(variable, EnvironmentPrefix) || !ok && (foreign(variable) || OfKubernetes(variable, value)):
		case !ok:
			l.fault(variable, "%s", meant(variable, known))
		case value == "": // counts as unset: a shell removes a variable for one command so
		case l.byName[name].Kind() == "list":
			l.set(name, variable, variable, split([]string{value}))
		default:
			l.set(name, variable, variable, []string{value})
		}
	}
}

func foreign(variable string) bool {
	return slices.ContainsFunc(notSettings, func(n string) bool {
		prefix, open := strings.CutSuffix(n, "*")
		return variable == n || open && strings.HasPrefix(variable, prefix)
	})
}

// root is the mapping of a file, nil if it has none. where is the place of its name.
func (l *loader) root(path, where string) *yaml.Node {
	f, err := os.Open(path)
	if err != nil {
		l.fault(where, "%v", err)
		return nil
	}
	defer f.Close()
	l.Files = append(l.Files, path)
	var document, more yaml.Node
	d := yaml.NewDecoder(f)
	if err := d.Decode(&document); errors.Is(err, io.EOF) {
		return nil // empty, or nothing but comments
	} else if err != nil {
		l.fault(path, "%v%s", err, quoteHint(err))
		return nil
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		l.fault(path, "must be one document: remove what begins with ---")
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		l.fault(path, "must be lines of the form name: value, as in drain: 10s")
		return nil
	}
	return root
}

func (l *loader) readFile(path string) {
	root := l.root(path, "configuration file")
	if root == nil {
		return
	}
	lists := map[string]List{}
	known := l.names[:len(l.names):len(l.names)]
	for _, list := range Lists() {
		lists[list.Key] = list
		known = append(known, list.Key)
	}
	l.mapping(root, path, known, func(key, value *yaml.Node, source, where string) {
		if list, ok := lists[key.Value]; ok {
			l.readList(list, value, path, source, where)
			return
		}
		s := l.byName[key.Value]
		if values, ok := l.values(s, value, where); ok {
			l.set(s.Name, source, where, values)
		}
	})
}

// mapping calls take for each known key of n at its first occurrence. source is
// its place in the file, where the same with its name.
func (l *loader) mapping(n *yaml.Node, path string, known []string, take func(key, value *yaml.Node, source, where string)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		source := fmt.Sprintf("%s, line %d", path, key.Line)
		where := source + ": " + key.Value
		switch first := seen[key.Value]; {
		case !slices.Contains(known, key.Value):
			l.fault(where, "%s", meant(key.Value, known))
		case first != 0:
			l.fault(where, "is set in line %d already: remove one of the two", first)
		default:
			seen[key.Value] = key.Line
			take(key, value, source, where)
		}
	}
}

// values are the values of n, if it has the form that the setting accepts.
func (l *loader) values(s Setting, n *yaml.Node, where string) (values []string, ok bool) {
	values, err := scalars(n)
	if err != nil {
		l.fault(where, "%v", err)
		return nil, false
	}
	if n.Kind != yaml.ScalarNode && s.Kind() != "list" {
		l.fault(where, "takes one value, not a list")
		return nil, false
	}
	return values, true
}

// scalars are the values of a scalar or of a list of scalars.
func scalars(n *yaml.Node) ([]string, error) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return nil, errors.New("has no value: remove the line for the default")
	case n.Kind == yaml.ScalarNode:
		return []string{n.Value}, nil
	case n.Kind != yaml.SequenceNode:
		return nil, errors.New("takes a value, or a list of values as in [a, b]")
	}
	values := []string{}
	for _, item := range n.Content {
		if item.Kind != yaml.ScalarNode || item.Tag == "!!null" {
			return nil, errors.New("must be a list of plain values, as in [a, b]")
		}
		values = append(values, item.Value)
	}
	return values, nil
}

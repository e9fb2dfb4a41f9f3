package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"peal/server/spelling"
)

// GateKeys are the keys of a scenario file that only peal-gate reads.
var GateKeys = []string{"name", "loops", "wait", "pairs", "samples", "p", "metrics"}

// Read sets f, which has the flags of all scenarios, to the values in a scenario file,
// except those that are set already: the command line overrides the file. The keys are the
// names of the settings and "scenario"; a value is that of the flag, or a list of them. An
// error names all faults with their lines.
func Read(f *pflag.FlagSet, file string, content []byte) (name string, err error) {
	var document yaml.Node
	unique := map[string]yaml.Node{} // decoding into it refuses keys that occur twice
	if err := cmp.Or(yaml.Unmarshal(content, &document), document.Decode(&unique)); err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	name = "fanout"
	if n, ok := unique["scenario"]; ok {
		name = n.Value
	}
	known, names := map[string]row{}, []string{"scenario"}
	for _, r := range new(Settings).rows() {
		known[r.name], names = r, append(names, r.name)
	}
	var faults []error
	if !slices.Contains(scenarios(), name) {
		return "", fmt.Errorf("%s: no scenario %q%s", file, name, suggest(name, scenarios()))
	}
	f.Visit(func(flag *pflag.Flag) {
		if r := known[flag.Name]; !r.has(name) {
			faults = append(faults, fmt.Errorf("--%s: %s does not have this setting", flag.Name, name))
		}
	})
	if d, ok := durations[name]; ok && !f.Changed("duration") && unique["duration"].Kind == 0 {
		faults = append(faults, f.Lookup("duration").Value.Set(d.String()))
	}
	for i := 0; len(document.Content) > 0 && i < len(document.Content[0].Content); i += 2 {
		key, value := document.Content[0].Content[i], document.Content[0].Content[i+1]
		r, ok := known[key.Value]
		switch {
		case key.Value == "scenario" || slices.Contains(GateKeys, key.Value):
			continue
		case !ok:
			err = fmt.Errorf("unknown setting%s", suggest(key.Value, names))
		case !r.has(name):
			err = fmt.Errorf("%s does not have this setting", name)
		case f.Changed(key.Value):
			continue
		default:
			err = r.set(f.Lookup(key.Value), value, filepath.Dir(file))
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s:%d: %s: %w", file, key.Line, key.Value, err))
		}
	}
	return name, errors.Join(faults...)
}

func suggest(name string, known []string) string {
	if near := spelling.Nearest(name, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// set sets a flag to the value of a file in folder.
func (r *row) set(f *pflag.Flag, value *yaml.Node, folder string) error {
	if value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	values := []*yaml.Node{value}
	if _, list := f.Value.(interface{ GetSlice() []string }); list && value.Kind == yaml.SequenceNode {
		values = value.Content
	}
	for _, v := range values {
		text, err := v.Value, error(nil)
		switch {
		case v.Kind != yaml.ScalarNode:
			return errors.New("must be a single value, or a list of them where the flag can be repeated")
		case r.is&secret != 0:
			text, err = expand(text)
		case r.is&isFile != 0 && text != "-" && !filepath.IsAbs(text):
			text = filepath.Join(folder, text)
		}
		if err = cmp.Or(err, f.Value.Set(text)); err != nil {
			return err
		}
	}
	f.Changed = true
	return nil
}

var variable = regexp.MustCompile(`\$\{(\w+)\}`)

// expand puts environment variables where ${NAME} stands.
func expand(text string) (string, error) {
	var faults []error
	return variable.ReplaceAllStringFunc(text, func(v string) string {
		value, ok := os.LookupEnv(v[2 : len(v)-1])
		if !ok {
			faults = append(faults, fmt.Errorf("environment variable %s is not set", v[2:len(v)-1]))
		}
		return value
	}), errors.Join(faults...)
}

// Print writes the scenario file that runs what f says: the settings that are not the
// defaults. In place of a secret it has an environment variable.
func Print(w io.Writer, f *pflag.FlagSet, scenario string) error {
	lines := "scenario: " + scenario + "\n"
	for _, r := range new(Settings).rows() {
		flag := f.Lookup(r.name)
		if flag == nil || !flag.Changed {
			continue
		}
		lines += r.name + ":"
		if slice, ok := flag.Value.(interface{ GetSlice() []string }); ok {
			texts := slice.GetSlice()
			for _, text := range texts {
				lines += "\n  - " + r.inYAML(text)
			}
			if len(texts) == 0 { // what it has is in another list
				lines += " []"
			}
		} else {
			lines += " " + r.inYAML(flag.Value.String())
		}
		lines += "\n"
	}
	_, err := io.WriteString(w, lines)
	return err
}

var (
	notWord = regexp.MustCompile(`\W+`)
	plain   = regexp.MustCompile(`^\w[\w./>=%-]*$`)
)

// inYAML is a value in a file. Where it needs quotes, those of Go are YAML's.
func (r *row) inYAML(text string) string {
	if name, _, header := strings.Cut(text, ":"); r.is&secret != 0 && header {
		text = name + ": ${" + strings.ToUpper(notWord.ReplaceAllString(name, "_")) + "}"
	} else if r.is&secret != 0 {
		text = "${" + strings.ToUpper(notWord.ReplaceAllString(r.name, "_")) + "}"
	}
	if plain.MatchString(text) {
		return text
	}
	return strconv.Quote(text)
}

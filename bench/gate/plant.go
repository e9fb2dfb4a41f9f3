package gate

import (
	"cmp"
	_ "embed" // for the plants
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Plant is a deliberate regression that tests whether the gate finds it.
type Plant struct {
	Name   string `yaml:"name"`
	File   string `yaml:"file"`   // from the root of the repository
	Old    string `yaml:"old"`    // text of the file
	New    string `yaml:"new"`    // instead of it
	Tail   string `yaml:"tail"`   // is appended to the file
	Import string `yaml:"import"` // package that New and Tail need, if the file lacks it
	Ns     int    `yaml:"ns"`     // default of {ns} in Tail; 0: the plant takes no number
}

//go:embed plants.yaml
var plantsFile []byte

// plants are all plants.
var plants = func() (all []Plant) {
	if err := yaml.Unmarshal(plantsFile, &all); err != nil {
		panic(fmt.Errorf("plants.yaml: %w", err))
	}
	return all
}()

// PlantNames returns the names of all plants.
func PlantNames() (names []string) {
	for _, p := range plants {
		names = append(names, p.Name)
	}
	return names
}

// Overlay writes a file into dir with which go build -overlay plants the regression in
// the source at root, and returns the file.
func Overlay(root, dir, plant string) (overlay string, err error) {
	p, err := parsePlant(plant)
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, p.File)
	source, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("plant %s: %w", p.Name, err)
	}
	planted, err := p.source(string(source))
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "planted-"+p.Name)
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {path: file + ".go"}})
	err = errors.Join(err, os.WriteFile(file+".go", []byte(planted), 0o644), os.WriteFile(file+".json", replace, 0o644))
	return file + ".json", err
}

// parsePlant finds a plant, also cpu=600.
func parsePlant(text string) (p Plant, err error) {
	name, value, given := strings.Cut(text, "=")
	i := slices.Index(PlantNames(), name)
	if i < 0 {
		return p, fmt.Errorf("unknown plant %q: use %s", name, strings.Join(PlantNames(), ", "))
	}
	p = plants[i]
	ns, err := strconv.Atoi(cmp.Or(value, strconv.Itoa(p.Ns)))
	if given && (err != nil || ns < 1 || p.Ns == 0) {
		return p, fmt.Errorf("plant %q: only cpu, accept and tls take a number, of nanoseconds", text)
	}
	p.Tail = strings.ReplaceAll(p.Tail, "{ns}", strconv.Itoa(ns))
	return p, nil
}

var packageClause = regexp.MustCompile(`(?m)^package \w+\n`)

// source applies p to the text of its file.
func (p *Plant) source(s string) (string, error) {
	if n := strings.Count(s, p.Old); n != 1 {
		return "", fmt.Errorf("plant %s: %q occurs %d times in %s and must occur once: adapt bench/gate/plants.yaml", p.Name, p.Old, n, p.File)
	}
	s = strings.Replace(s, p.Old, p.New, 1)
	if p.Import != "" && !strings.Contains(s, "\t\""+p.Import+"\"\n") {
		clause := packageClause.FindString(s)
		s = strings.Replace(s, clause, clause+"\nimport \""+p.Import+"\"\n", 1)
	}
	return s + "\n" + p.Tail + "\n", nil
}

package gate

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Plant is a deliberate regression that tests whether the gate finds it. It replaces
// text in plantedFile.
type Plant struct {
	Name string
	Old  string // must occur exactly once, so that an outdated plant is noticed
	New  string
	Tail string // is appended to the file
}

// plantedFile is the file from the root of the repository.
const plantedFile = "loop/socket_linux.go"

// plants are all plants. Exact figures must always find the first three; a noisy one
// must find the fourth in nine of ten runs.
var plants = []Plant{
	{ // an allocation per delivery
		Name: "allocation",
		Old:  "n, full, err := s.Now(q.to, q.b)",
		New:  "planted = new([48]byte)\n\t\tn, full, err := s.Now(q.to, q.b)",
		Tail: "var planted *[48]byte",
	},
	{ // a copy per subscriber, into memory that is kept, so that no allocation shows it
		Name: "copy",
		Old:  "s.queue = append(s.queue, outgoing{ticket, to, b})",
		New: "i := len(s.queue) % len(planted)\n\tplanted[i] = append(planted[i][:0], b...)\n" +
			"\ts.queue = append(s.queue, outgoing{ticket, to, planted[i]})",
		Tail: "var planted [1024][]byte",
	},
	{ // a second send per delivery
		Name: "send",
		Old:  "n, full, err := s.Now(q.to, q.b)",
		New: "half := len(q.b) / 2\n\t\tn, full, err := s.Now(q.to, q.b[:half])\n" +
			"\t\tif n == half {\n\t\t\tvar m int\n\t\t\tm, full, err = s.Now(q.to, q.b[half:])\n\t\t\tn += m\n\t\t}",
	},
	{ // cpu=600: 600 ns of work per send, calibrated when the server starts
		Name: "cpu",
		Old:  "n, full, err := s.Now(q.to, q.b)",
		New:  "plantedSpin(plantedRounds)\n\t\tn, full, err := s.Now(q.to, q.b)",
		Tail: `var (
	plantedSink   uint64
	plantedRounds = func() int {
		const rounds = 1 << 20
		best := time.Hour
		for range 20 {
			began := time.Now()
			plantedSpin(rounds)
			best = min(best, time.Since(began))
		}
		return int(rounds * {ns} / best.Nanoseconds())
	}()
)

//go:noinline
func plantedSpin(rounds int) {
	x := uint64(rounds) | 1
	for range rounds {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	plantedSink = x
}`,
	},
}

// plantedNs is the default of cpu.
const plantedNs = 500

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
	name, ns, err := parsePlant(plant)
	if err != nil {
		return "", err
	}
	i := slices.Index(PlantNames(), name)
	if i < 0 {
		return "", fmt.Errorf("unknown plant %q: use %s", name, strings.Join(PlantNames(), ", "))
	}
	p := plants[i]
	p.Tail = strings.ReplaceAll(p.Tail, "{ns}", strconv.Itoa(ns))
	path := filepath.Join(root, plantedFile)
	source, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("plant %s: %w", name, err)
	}
	planted, err := p.source(string(source))
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "planted-"+name)
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {path: file + ".go"}})
	err = errors.Join(err, os.WriteFile(file+".go", []byte(planted), 0o644), os.WriteFile(file+".json", replace, 0o644))
	return file + ".json", err
}

// parsePlant splits cpu=600.
func parsePlant(text string) (name string, ns int, err error) {
	name, value, given := strings.Cut(text, "=")
	if !given {
		return name, plantedNs, nil
	}
	if ns, err = strconv.Atoi(value); err != nil || ns < 1 || name != "cpu" {
		return "", 0, fmt.Errorf("plant %q: only cpu takes a number, of nanoseconds", text)
	}
	return name, ns, nil
}

// source applies p to the text of its file.
func (p *Plant) source(s string) (string, error) {
	if n := strings.Count(s, p.Old); n != 1 {
		return "", fmt.Errorf("plant %s: %q occurs %d times in %s and must occur once: adapt bench/gate/plant.go", p.Name, p.Old, n, plantedFile)
	}
	s = strings.Replace(s, p.Old, p.New, 1)
	if strings.Contains(p.Tail, "time.") && !strings.Contains(s, "\t\"time\"\n") {
		s = strings.Replace(s, "import (\n", "import (\n\t\"time\"\n", 1)
	}
	return s + "\n" + p.Tail + "\n", nil
}

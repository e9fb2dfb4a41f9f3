package gate

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Plant is a deliberate regression that tests whether the gate finds it. It replaces
// text in one source file.
type Plant struct {
	Name  string
	About string
	File  string // from the root of the repository
	Old   string // must occur exactly once, so that an outdated plant is noticed
	New   string
	Tail  string // is appended to the file
}

const senderFile = "loop/socket_linux.go"

// plants are all plants. Exact figures must always find the first three; a noisy one
// must find the fourth in nine of ten runs.
var plants = []Plant{
	{
		Name: "allocation", About: "an allocation per delivery", File: senderFile,
		Old:  "n, full, err := s.Now(q.to, q.b)",
		New:  "planted = new([48]byte)\n\t\tn, full, err := s.Now(q.to, q.b)",
		Tail: "var planted *[48]byte",
	},
	{
		// Into memory that is kept, so that no allocation shows it.
		Name: "copy", About: "a copy per subscriber", File: senderFile,
		Old: "s.queue = append(s.queue, outgoing{ticket, to, b})",
		New: "i := len(s.queue) % len(planted)\n\tplanted[i] = append(planted[i][:0], b...)\n" +
			"\ts.queue = append(s.queue, outgoing{ticket, to, planted[i]})",
		Tail: "var planted [1024][]byte",
	},
	{
		Name: "send", About: "a second send per delivery", File: senderFile,
		Old: "n, full, err := s.Now(q.to, q.b)",
		New: "half := len(q.b) / 2\n\t\tn, full, err := s.Now(q.to, q.b[:half])\n" +
			"\t\tif n == half {\n\t\t\tvar m int\n\t\t\tm, full, err = s.Now(q.to, q.b[half:])\n\t\t\tn += m\n\t\t}",
	},
	{
		// cpu=600 adds 600 ns of work to each send, calibrated when the server starts.
		Name: "cpu", About: "CPU time per delivery: a tenth of what it costs is right", File: senderFile,
		Old: "n, full, err := s.Now(q.to, q.b)",
		New: "plantedSpin(plantedRounds)\n\t\tn, full, err := s.Now(q.to, q.b)",
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
	plant, ns, err := parsePlant(plant)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(plants, func(p Plant) bool { return p.Name == plant })
	if i < 0 {
		return "", fmt.Errorf("unknown plant %q: use %s", plant, strings.Join(PlantNames(), ", "))
	}
	p := plants[i]
	p.Tail = strings.ReplaceAll(p.Tail, "{ns}", strconv.Itoa(ns))
	path := filepath.Join(root, p.File)
	source, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("plant %s: %w", plant, err)
	}
	planted, err := p.source(string(source))
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "planted-"+plant+".go")
	if err := os.WriteFile(file, []byte(planted), 0o644); err != nil {
		return "", fmt.Errorf("plant %s: %w", plant, err)
	}
	b, err := json.Marshal(map[string]map[string]string{"Replace": {path: file}})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "planted-"+plant+".json")
	return overlay, os.WriteFile(overlay, b, 0o644)
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
		return "", fmt.Errorf("plant %s: %q occurs %d times in %s and must occur once: adapt bench/gate/plant.go", p.Name, p.Old, n, p.File)
	}
	s = strings.Replace(s, p.Old, p.New, 1)
	if strings.Contains(p.Tail, "time.") && !strings.Contains(s, "\t\"time\"\n") {
		s = strings.Replace(s, "import (\n", "import (\n\t\"time\"\n", 1)
	}
	return s + "\n" + p.Tail + "\n", nil
}

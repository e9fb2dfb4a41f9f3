package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"peal/bench"
)

// Schema is the number of the JSON form. Names and meanings change only with it;
// new names may come.
const Schema = 1

// ErrSchema means that a file is of another version of this program.
var ErrSchema = errors.New("unknown schema")

// Record is all that is known of one table.
type Record struct {
	Schema      int         `json:"schema"`
	Name        string      `json:"name"`            // of the table, and of the file
	Quick       bool        `json:"quick,omitempty"` // small sizes, to see that it works: not to be quoted
	Command     string      `json:"command"`         // that gives the record, from the root of the repository
	Environment Environment `json:"environment"`
	Sizes       *Sizes      `json:"sizes,omitempty"` // of bench/run
	Servers     []Server    `json:"servers,omitempty"`
	Missing     []string    `json:"missing,omitempty"` // what was meant to be measured and could not be, with the reason
	Rows        []Row       `json:"rows,omitempty"`
	Runs        []Run       `json:"runs,omitempty"`
}

// Sizes are how much was measured where a row does not say it: see bench.Config.
type Sizes struct {
	Subscribers int     `json:"subscribers"` // that messages are sent to
	Idle        int     `json:"idle"`        // connections whose memory is measured
	Length      float64 `json:"length_s"`    // of a run
}

// Server is one that was measured.
type Server struct {
	Name          string `json:"name"`
	Version       string `json:"version"`
	Command       string `json:"command"`                 // {port} and {admin} were free ports
	Configuration string `json:"configuration,omitempty"` // its file
}

// Row is one line of a table: see bench.Row and bench.Outcome.
type Row struct {
	Key    string    `json:"key"` // of the experiment
	What   string    `json:"what"`
	Unit   string    `json:"unit,omitempty"`
	Target *Target   `json:"target,omitempty"`
	A      []float64 `json:"a"` // all samples, in the order they were taken
	B      []float64 `json:"b,omitempty"`
	Error  string    `json:"error,omitempty"` // of the first sample that failed
}

// Target is what Row is judged by.
type Target struct {
	Of     string  `json:"of"` // "value", "ratio" or "difference"
	AtMost bool    `json:"at_most,omitempty"`
	Limit  float64 `json:"limit"`
}

// quantities are the names of what a target can be about.
var quantities = map[string]bench.Quantity{"value": bench.Value, "ratio": bench.Ratio, "difference": bench.Difference}

// Run is one run of a program that writes a report of its own.
type Run struct {
	Label   string          `json:"label"`  // what is varied: the rate, the transport
	Server  string          `json:"server"` // name of one of Servers
	Round   int             `json:"round"`  // from 1; in each round every label has its turn
	Program string          `json:"program"`
	Command string          `json:"command"`
	Report  json.RawMessage `json:"report"` // as the program wrote it
}

// The programs whose reports a Run can have.
const (
	Load  = "peal load"        // loadtest/report.Report
	Chaos = "scripts/chaos.sh" // loadtest/chaos/run's
)

// RowOf keeps an outcome.
func RowOf(o *bench.Outcome) Row {
	r := Row{Key: o.Key, What: strings.TrimSpace(o.What), Unit: o.Unit, A: o.A, B: o.B}
	for name, of := range quantities {
		if o.Target.Of == of {
			r.Target = &Target{Of: name, AtMost: o.Target.AtMost, Limit: o.Target.Limit}
		}
	}
	if r.A == nil {
		r.A = []float64{}
	}
	if o.Err != nil {
		r.Error = o.Err.Error()
	}
	return r
}

// Outcome is what RowOf was given, but for the kind of the error.
func (r *Row) Outcome() bench.Outcome {
	o := bench.Outcome{Row: bench.Row{What: r.What, Unit: r.Unit}, Key: r.Key, A: r.A, B: r.B}
	if r.Target != nil {
		o.Target = bench.Target{Of: quantities[r.Target.Of], AtMost: r.Target.AtMost, Limit: r.Target.Limit}
	}
	if r.Error != "" {
		o.Err = errors.New(r.Error)
	}
	return o
}

// Write replaces the file with r; what is there stays if that fails.
func (r *Record) Write(file string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write record %s: %w", r.Name, err)
	}
	next := file + ".next"
	if err := os.WriteFile(next, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write record %s: %w", r.Name, err)
	}
	if err := os.Rename(next, file); err != nil {
		return fmt.Errorf("write record %s: %w", r.Name, err)
	}
	return nil
}

// Read reads one file. The error is ErrSchema if it is of another version, and
// any other if it is no record, names a quantity that there is not, or has
// another name than its file.
func Read(file string) (*Record, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("read record %s: %w", file, err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("read record %s: %w %d, this version reads %d", file, ErrSchema, r.Schema, Schema)
	}
	for _, row := range r.Rows {
		if _, known := quantities[targetOf(row)]; row.Target != nil && !known {
			return nil, fmt.Errorf("read record %s: a target of %q", file, row.Target.Of)
		}
	}
	return &r, nil
}

func targetOf(r Row) string {
	if r.Target == nil {
		return ""
	}
	return r.Target.Of
}

// ReadAll reads all records of a directory, by name.
func ReadAll(dir string) (map[string]*Record, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("read records: %w", err)
	}
	all := map[string]*Record{}
	for _, file := range files {
		r, err := Read(file)
		if err != nil {
			return nil, err
		}
		if name := strings.TrimSuffix(filepath.Base(file), ".json"); name != r.Name {
			return nil, fmt.Errorf("read record %s: its name is %q", file, r.Name)
		}
		all[r.Name] = r
	}
	return all, nil
}

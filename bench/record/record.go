package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// CommandLine is args as a shell reads them.
func CommandLine(args []string) string {
	quoted := slices.Clone(args)
	for i, a := range args {
		if strings.ContainsAny(a, " |*?$&;<>()'\"\\") {
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// Write replaces the file with r; on an error the old file stays.
func (r *Record) Write(file string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(r)
	if err == nil {
		err = os.WriteFile(file+".next", b.Bytes(), 0o644)
	}
	if err == nil {
		err = os.Rename(file+".next", file)
	}
	if err != nil {
		return fmt.Errorf("write record %s: %w", r.Name, err)
	}
	return nil
}

// Read reads one file. The error is ErrSchema for a file of another version; any
// other means that it is not a record, or has a target of an unknown quantity.
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
		if t := row.Target; t != nil && !slices.Contains([]Quantity{Value, Ratio, Difference}, t.Of) {
			return nil, fmt.Errorf("read record %s: row %s has a target of unknown quantity %q", file, row.Key, t.Of)
		}
	}
	return &r, nil
}

// ReadAll reads all records of a directory, by name. A record must have the name
// of its file.
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

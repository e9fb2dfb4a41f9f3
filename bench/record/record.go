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

// Schema is the version of the JSON form. A change of names or meanings changes it;
// new names do not.
const Schema = 1

// ErrSchema means that another version of this program wrote the file.
var ErrSchema = errors.New("unknown schema")

// Record is everything about one table.
type Record struct {
	Schema      int         `json:"schema"`
	Name        string      `json:"name"`            // of the table, and of the file
	Quick       bool        `json:"quick,omitempty"` // small sizes that only show that it works
	Command     string      `json:"command"`         // that produces the record, from the root of the repository
	Environment Environment `json:"environment"`
	Sizes       *Sizes      `json:"sizes,omitempty"` // of bench/run
	Servers     []Server    `json:"servers,omitempty"`
	Missing     []string    `json:"missing,omitempty"` // what could not be measured, with the reason
	Rows        []Row       `json:"rows,omitempty"`
	Runs        []Run       `json:"runs,omitempty"`
}

// Sizes apply to rows that do not mention them: see bench.Config.
type Sizes struct {
	Subscribers int     `json:"subscribers"` // of a fan-out
	Idle        int     `json:"idle"`        // idle connections
	Length      float64 `json:"length_s"`    // of a run
}

// Server is one that was measured.
type Server struct {
	Name          string `json:"name"`
	Version       string `json:"version"`
	Command       string `json:"command"`                 // {port} and {admin} were free ports
	Configuration string `json:"configuration,omitempty"` // its file
}

// Run is one run of a program that writes its own report.
type Run struct {
	Label   string          `json:"label"`  // the parameter that varies: a rate, a transport
	Server  string          `json:"server"` // name of one of Servers
	Round   int             `json:"round"`  // from 1; each round runs every label once
	Program string          `json:"program"`
	Command string          `json:"command"`
	Report  json.RawMessage `json:"report"` // as the program wrote it
}

// The programs that write reports for a Run.
const (
	Load  = "peal load"        // loadtest/report.Report
	Chaos = "scripts/chaos.sh" // loadtest/chaos.Summary
)

// CommandLine quotes args for a shell.
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

// Read reads one file. The error is ErrSchema for a file of another version. Any
// other error means that it is not a record.
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

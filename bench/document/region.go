package document

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"peal/bench/record"
)

// Documents are the files with regions, Results is the folder of the records. Both
// are relative to the root of the repository.
var (
	Documents = []string{"BENCHMARKS.md", "docs/transports.md", "docs/deploy.md"}
	Results   = "bench/results"
)

// Update returns the text of each of Documents, from the records under root.
func Update(root string) (map[string][]byte, error) {
	records, err := record.ReadAll(filepath.Join(root, Results))
	if err != nil {
		return nil, err
	}
	texts := map[string][]byte{}
	for _, name := range Documents {
		if texts[name], err = os.ReadFile(filepath.Join(root, name)); err != nil {
			return nil, fmt.Errorf("document: %w", err)
		}
	}
	return Render(texts, records)
}

// Render generates every region of texts. The error joins all faults: a comment
// without its counterpart, a region without a record, a record without a region, a
// loss without a reason. Losses of quick or undecided records need no reason.
func Render(texts map[string][]byte, records map[string]*record.Record) (map[string][]byte, error) {
	var faults []error
	shown := map[string]bool{}
	made := map[string][]byte{}
	for name, text := range texts {
		out, regions, err := renderOne(string(text), records)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
		made[name] = []byte(out)
		for _, r := range regions {
			shown[r] = true
		}
	}
	for name := range records {
		if !shown[name] {
			faults = append(faults, fmt.Errorf("record %s is in no document: add <!-- table: %s --> and <!-- end: %s --> to one", name, name, name))
		}
	}
	for _, l := range losses(records) {
		if l.reason == "" && !l.quick && !l.undecided {
			faults = append(faults, fmt.Errorf("loss %s (%s) has no reason: add one to bench/document/reasons.go", l.what, l.key))
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return made, errors.Join(faults...)
}

var comment = regexp.MustCompile(`^<!-- (table|end): ([a-z0-9-]+) -->$`)

// renderOne copies text, replaces its regions and returns their names. A region with
// an error keeps its text.
func renderOne(text string, records map[string]*record.Record) (out string, regions []string, err error) {
	var b strings.Builder
	var faults []error
	open, old := "", ""
	for line := range strings.Lines(text) {
		m := comment.FindStringSubmatch(strings.TrimSpace(line))
		switch {
		case m == nil && open == "":
			b.WriteString(line)
		case m == nil:
			old += line
		case m[1] == "table" && open != "" || m[1] == "end" && open != m[2]:
			return text, regions, fmt.Errorf("%q is within the table %q", strings.TrimSpace(line), open)
		case m[1] == "table":
			b.WriteString(line)
			open, old = m[2], ""
			if slices.Contains(regions, open) {
				return text, regions, fmt.Errorf("the table %s appears twice", open)
			}
			regions = append(regions, open)
		default:
			body, err := region(open, records)
			if err != nil {
				faults, body = append(faults, err), strings.Trim(old, "\n")
			}
			if body = strings.Trim(body, "\n"); body != "" {
				body = "\n" + body + "\n\n"
			}
			b.WriteString(body + line)
			open = ""
		}
	}
	if open != "" {
		return text, regions, fmt.Errorf("the table %s has no end", open)
	}
	return b.String(), regions, errors.Join(faults...)
}

// region returns the text of a region.
func region(name string, records map[string]*record.Record) (string, error) {
	if s, ok := summaries[name]; ok {
		return s(records), nil
	}
	if tables[name] == nil {
		return "", fmt.Errorf("the table %q is not known: see bench/document/tables.go", name)
	}
	if records[name] == nil {
		return "", fmt.Errorf("the table %s has no record: scripts/benchmarks.sh --measure %s", name, name)
	}
	return Table(records[name])
}

// Table shows a record as Markdown.
func Table(r *record.Record) (string, error) {
	body, err := tables[r.Name](r)
	if err != nil {
		return "", fmt.Errorf("record %s: %w", r.Name, err)
	}
	return head(r) + body, nil
}

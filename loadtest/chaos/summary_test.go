package chaos

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// Every figure of the report that the summary names must be the report's.
func TestASummarySaysTheSame(t *testing.T) {
	r := &Report{Behind: 17}
	r.Figures = Figures{Clients: 1, Connections: 2, Changes: 3, Stalls: 4, Ended: 19, Kills: 5, Terms: 6, Published: 7}
	r.Verdict = Verdict{Checked: 8, Lost: 9, Repeated: 10, Reordered: 11, Damaged: 12, Faults: 13, Gaps: 14, GapsReal: 15, GapsFalse: 16}
	want := map[string]any{"schema": 1., "seed": "9223372036854775808", "log": "", "length_s": 0., "rate_per_s": 0., "history_messages": 18.,
		"clients": 1., "connections": 2., "changes_of_transport": 3., "stalls": 4., "ended_by_server": 19., "kills": 5., "terms": 6., "published": 7.,
		"checked": 8., "lost": 9., "repeated": 10., "reordered": 11., "damaged": 12., "contradictions": 13., "gaps": 14., "gaps_real": 15., "gaps_false": 16.,
		"behind": 17., "clean": false}
	s := r.Summary(Config{Seed: 1 << 63, History: 18})
	file := filepath.Join(t.TempDir(), "s.json")
	if err := s.Write(file); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var names map[string]any
	if err := json.Unmarshal(b, &names); err != nil || !reflect.DeepEqual(names, want) {
		t.Errorf("%+v, %v, want %+v", names, err, want)
	}
	var read Summary
	if err := json.Unmarshal(b, &read); err != nil || !reflect.DeepEqual(read, s) {
		t.Errorf("%+v, %v, want %+v", read, err, s)
	}
	if clean := (&Report{}).Summary(Config{}); !clean.Clean {
		t.Error("a report without faults is not clean")
	}
}

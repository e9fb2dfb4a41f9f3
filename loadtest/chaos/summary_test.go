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
	want := Summary{Schema: 1, Seed: 1 << 63, Clients: 1, Opened: 2, Changes: 3, Stalls: 4, Ended: 19, Kills: 5, Terms: 6, Published: 7, Checked: 8, Lost: 9,
		Repeated: 10, Reordered: 11, Damaged: 12, Faults: 13, Gaps: 14, GapsReal: 15, GapsFalse: 16, Behind: 17, Length: 0, History: 18}
	s := r.Summary(Config{Seed: 1 << 63, History: 18})
	file := filepath.Join(t.TempDir(), "s.json")
	if err := s.Write(file); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var read Summary
	if err := json.Unmarshal(b, &read); err != nil || !reflect.DeepEqual(read, want) {
		t.Errorf("%+v, %v, want %+v", read, err, want)
	}
	if clean := (&Report{}).Summary(Config{}); !clean.Clean {
		t.Error("a report without faults is not clean")
	}
}

package chaos

import (
	"encoding/json"
	"fmt"
	"os"
)

// SummarySchema is the number of Summary's JSON form.
const SummarySchema = 1

// Summary is a report for programs. Names change only with the schema.
type Summary struct {
	Schema    int     `json:"schema"`
	Seed      uint64  `json:"seed,string"` // more than a double can hold
	Log       string  `json:"log"`
	Fsync     string  `json:"fsync,omitempty"`
	Length    float64 `json:"length_s"`
	Rate      float64 `json:"rate_per_s"`
	History   int     `json:"history_messages"`
	Clients   int     `json:"clients"`
	Opened    uint64  `json:"connections"`
	Changes   uint64  `json:"changes_of_transport"`
	Stalls    uint64  `json:"stalls"`
	Ended     uint64  `json:"ended_by_server"`
	Hostile   int     `json:"hostile,omitempty"` // clients beside the honest ones
	Kills     uint64  `json:"kills"`
	Terms     uint64  `json:"terms"`
	Restores  uint64  `json:"restores,omitempty"` // of an older copy of the log
	Published int     `json:"published"`
	Checked   uint64  `json:"checked"` // deliveries
	Lost      uint64  `json:"lost"`
	Repeated  uint64  `json:"repeated"`
	Reordered uint64  `json:"reordered"`
	Damaged   uint64  `json:"damaged"`
	Faults    uint64  `json:"contradictions"`
	Gaps      uint64  `json:"gaps"`
	GapsReal  uint64  `json:"gaps_real"`
	GapsFalse uint64  `json:"gaps_false"`
	Behind    int     `json:"behind"`
	Clean     bool    `json:"clean"`
}

// Summary says the same as r, of a run of c.
func (r *Report) Summary(c Config) Summary {
	return Summary{Schema: SummarySchema, Seed: c.Seed, Length: c.Length.Seconds(), Rate: c.Rate, History: c.History,
		Clients: r.Clients, Opened: r.Connections, Changes: r.Changes, Stalls: r.Stalls, Ended: r.Ended, Kills: r.Kills, Terms: r.Terms, Restores: r.Restores,
		Published: r.Published, Checked: r.Checked, Lost: r.Lost, Repeated: r.Repeated, Reordered: r.Reordered, Damaged: r.Damaged,
		Faults: r.Faults, Gaps: r.Gaps, GapsReal: r.GapsReal, GapsFalse: r.GapsFalse, Behind: r.Behind, Clean: r.Clean()}
}

// Write writes s to a file as JSON.
func (s Summary) Write(file string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = os.WriteFile(file, append(b, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	return nil
}

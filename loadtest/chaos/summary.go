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
	Schema  int     `json:"schema"`
	Seed    uint64  `json:"seed,string"` // more than a double can hold
	Log     string  `json:"log"`
	Fsync   string  `json:"fsync,omitempty"`
	Lose    bool    `json:"lose,omitempty"` // the store of a cluster loses entries
	Length  float64 `json:"length_s"`
	Rate    float64 `json:"rate_per_s"`
	History int     `json:"history_messages"`
	Hostile int     `json:"hostile,omitempty"` // clients beside the honest ones
	Figures
	Verdict
	Behind   int         `json:"behind"`
	Webhooks *Deliveries `json:"webhooks,omitempty"`
	Answers  *Answers    `json:"trace,omitempty"`
	Clean    bool        `json:"clean"`
}

// Summary says the same as r, of a run of c.
func (r *Report) Summary(c Config) Summary {
	return Summary{Schema: SummarySchema, Seed: c.Seed, Length: c.Length.Seconds(), Rate: c.Rate, History: c.History,
		Figures: r.Figures, Verdict: r.Verdict, Behind: r.Behind, Webhooks: r.Webhooks, Answers: r.Answers, Clean: r.Clean()}
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

package report

import "fmt"

// Limits are what the generator must have kept. Beyond them a run says more about
// it than about the server.
type Limits struct {
	Lag  float64 `json:"lag_share"`  // p99 of the lag, as a share of the reported p99: at most
	CPU  float64 `json:"cpu_share"`  // of the generator's share: at most
	Sent float64 `json:"sent_share"` // of the schedule: at least
}

// DefaultLimits are 10 %, 85 % and 99 %.
var DefaultLimits = Limits{Lag: 0.10, CPU: 0.85, Sent: 0.99}

// Validity is whether the generator kept its limits. A share is nil where the
// scenario has none.
type Validity struct {
	Valid   bool     `json:"valid"`
	Reasons []string `json:"reasons"` // why it is not
	Limits  Limits   `json:"limits"`
	Lag     *float64 `json:"lag_share"` // p99 of the lag ÷ p99
	CPU     *float64 `json:"cpu_share"`
	Sent    *float64 `json:"sent_share"`
}

// Validate fills in r.Validity.
func (r *Report) Validate(limits Limits) {
	v := Validity{Limits: limits, Reasons: []string{}, CPU: r.Generator.CPUShare}
	fault := func(format string, args ...any) { v.Reasons = append(v.Reasons, fmt.Sprintf(format, args...)) }
	if r.Connections.Opened == 0 && r.Aborted == "" {
		fault("no connection could be opened: %s", r.Connections.FirstError)
	}
	if r.Aborted != "" {
		fault("the run ended before its time: %s", r.Aborted)
	}
	misread := uint64(0)
	if r.Messages != nil {
		misread = r.Messages.Unreadable
	}
	if n := r.Connections.Unreadable; n > 0 || misread > 0 {
		fault("the load test could not read the server on %d connections and in %d responses to publications: %s", n, misread, r.Unread)
	}
	if m := r.Messages; m != nil {
		switch {
		case m.Scheduled == 0 && r.Aborted == "":
			fault("no message was due: --duration is too short for --rate")
		case m.Sent > 0 && m.Refused == m.Sent:
			fault("the server refused every message: %s", m.FirstRefusal)
		}
		if m.Scheduled > 0 {
			sent := float64(m.Sent) / float64(m.Scheduled)
			if v.Sent = &sent; sent < limits.Sent {
				fault("only %.1f %% of the schedule was sent, less than %.4g %%", 100*sent, 100*limits.Sent)
			}
		}
	}
	if back, until := r.Restart.late(r.Settings.Duration); until > 0 {
		fault("a restarted server accepted again after %.1f s only, and the next step of the run was due at %.4g s: use a longer --duration", back, until)
	}
	lag, measured := quantile(r.Lag, 0.99)
	if p99, ok := quantile(r.Latency, 0.99); ok && measured && p99 > 0 {
		share := lag / p99 // 0 where p99 is that of a lost message
		if v.Lag = &share; share > limits.Lag {
			fault("messages were sent late: p99 of the lag is %s ms, %.0f %% of the reported p99 and more than %.4g %% of it",
				Millis(lag/1e6), 100*share, 100*limits.Lag)
		}
	}
	if v.CPU != nil && *v.CPU > limits.CPU {
		fault("the generator was short of CPU: it used %.0f %% of its share, more than %.4g %%", 100**v.CPU, 100*limits.CPU)
	}
	v.Valid = len(v.Reasons) == 0
	r.Validity = v
}

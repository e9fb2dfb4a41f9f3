package report

import (
	"cmp"
	"fmt"
	"slices"
)

// Limits are what the generator must have kept. Beyond them a run says more about
// it than about the server.
type Limits struct {
	Lag  float64 `json:"lag_share"`  // of the reported p99, what the generator's own delays may be; below a millisecond they always may
	CPU  float64 `json:"cpu_share"`  // of the generator's share: at most
	Sent float64 `json:"sent_share"` // of the schedule: at least
}

// DefaultLimits are 10 %, 85 % and 99 %.
var DefaultLimits = Limits{Lag: 0.10, CPU: 0.85, Sent: 0.99}

// harmless is a delay of the generator, in ms, that never makes a run invalid.
const harmless = 1.0

// Validity is whether the generator kept its limits. A share is nil where the
// scenario has none.
type Validity struct {
	Valid   bool     `json:"valid"`
	Reasons []string `json:"reasons"` // why it is not
	Limits  Limits   `json:"limits"`
	Lag     *float64 `json:"lag_share"`  // p99 of the lag ÷ p99
	Wait    *float64 `json:"wait_share"` // the same of the generator's waiting for processors that others used
	CPU     *float64 `json:"cpu_share"`
	Sent    *float64 `json:"sent_share"`
}

// Validate fills in r.Validity.
func (r *Report) Validate(limits Limits) {
	v := Validity{Limits: limits, Reasons: []string{}, CPU: r.Generator.CPUShare}
	fault := func(format string, args ...any) { v.Reasons = append(v.Reasons, fmt.Sprintf(format, args...)) }
	r.fruitless(fault)
	misread := uint64(0)
	if r.Messages != nil {
		misread = r.Messages.Unreadable
	}
	if n := r.Connections.Unreadable; n > 0 || misread > 0 {
		fault("the load test could not read the server on %d connections and in %d responses to publications: %s", n, misread, r.Unread)
	}
	if m := r.Messages; m != nil && m.Scheduled > 0 {
		sent := float64(m.Sent) / float64(m.Scheduled)
		if v.Sent = &sent; sent < limits.Sent {
			fault("only %.1f %% of the schedule was sent, less than %.4g %%", 100*sent, 100*limits.Sent)
		}
	}
	if back, until := r.Restart.late(r.Settings.Duration); until > 0 {
		fault("a restarted server accepted again after %.1f s only, and the next step of the run was due at %.4g s: use a longer --duration", back, until)
	}
	v.delays(r, fault)
	if v.CPU != nil && *v.CPU > limits.CPU {
		fault("the generator was short of CPU: it used %.0f %% of its share, more than %.4g %%", 100**v.CPU, 100*limits.CPU)
	}
	v.Valid = len(v.Reasons) == 0
	r.Validity = v
}

// delays judges what the generator itself may have added to the reported p99: the
// lag of its schedule, and its waiting for processors that neither it nor the server
// used. Its turns with the server are the machine's size, and stay in the figures.
func (v *Validity) delays(r *Report, fault func(string, ...any)) {
	p99, measured := quantile(r.Latency, 0.99)
	if !measured || p99 == 0 {
		return
	}
	p99 /= 1e6
	allowed := max(v.Limits.Lag*p99, harmless) // infinite where p99 is that of a lost message
	judge := func(t *Times, part float64) (delay float64, share *float64) {
		delay, ok := quantile(t, 0.99)
		if !ok {
			return 0, nil
		}
		delay *= part / 1e6
		of := delay / p99
		return delay, &of
	}
	g := r.Generator
	for _, c := range g.Clocks {
		if c.Uncertainty > allowed {
			fault("the clock of agent %s is known to ± %s ms only, and may be off by %s ms: use a quicker network between the agents and this machine", c.Agent, Millis(c.Uncertainty), Millis(allowed))
			break
		}
	}
	lag, share := judge(r.Lag, 1)
	if v.Lag = share; lag > allowed {
		fault("messages were sent late: p99 of the lag is %s ms, %.0f %% of the reported p99, and may be %s ms: use a lower --rate, more processors, or --max-lag",
			Millis(lag), 100**share, Millis(allowed))
	}
	wait, share := judge(g.Waits, g.Machine.Part)
	if v.Wait = share; wait > allowed {
		fault("messages were read late, because other programs used the processors: p99 of that is %s ms, %.0f %% of the reported p99, and may be %s ms (%s; the others ran for %.2f s): stop other programs, use fewer --connections, more processors, or --max-lag",
			Millis(wait), 100**share, Millis(allowed), worst(g.Each), g.Machine.Others)
	}
}

// worst is the process that waited longest.
func worst(all []Process) string {
	if len(all) == 0 {
		return "on an agent's machine"
	}
	p := slices.MaxFunc(all, func(a, b Process) int { return cmp.Compare(a.Wait, b.Wait) })
	return fmt.Sprintf("process %d ran for %.2f s and waited for %.2f s", p.PID, p.CPU, p.Wait)
}

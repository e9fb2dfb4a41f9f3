package chaos

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// Write prints the report.
func (r *Report) Write(w io.Writer) error {
	var err error
	line := func(name string, format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, "%-28s %s\n", name, fmt.Sprintf(format, args...))
		}
	}
	line("clients", "%d", r.Clients)
	line("connections", "%d", r.Connections)
	line("  left by the client", "%d", r.Disconnects)
	line("  on another transport", "%d", r.Changes)
	line("  stalled", "%d", r.Stalls)
	line("  ended by the server", "%d", r.Ended)
	if r.Nodes > 0 {
		line("  to another node", "%d", r.Moves)
		line("  told to come back", "%d", r.ComeBacks)
		line("nodes", "%d, %d epochs of the log", r.Nodes, r.Lives)
		for _, name := range slices.Sorted(maps.Keys(r.Disturbed)) {
			line("  "+name, "%d", r.Disturbed[name])
		}
	} else {
		line("restarts", "%d (%d SIGKILL, %d SIGTERM), %d epochs", r.Kills+r.Terms, r.Kills, r.Terms, r.Lives)
	}
	if u := r.Upgrades; u != nil {
		line("upgrades", "%d, the longest undisturbed one %v", u.All, u.Longest.Round(time.Millisecond))
		line("  a process killed in it", "%d times (the old one %d, the new one %d)", u.KilledOld+u.KilledNew, u.KilledOld, u.KilledNew)
		line("  the new process serves", "%d", u.Passed)
		line("  the old process serves", "%d", u.Stayed)
		line("  none, and started again", "%d", u.Gone)
	}
	if r.Restores > 0 {
		line("  to an older copy", "%d", r.Restores)
	}
	if r.Tokens > 0 {
		line("tokens", "%d, %d revoked", r.Tokens, r.Revocations)
		line("  renewed while connected", "%d", r.Renewals)
		line("  refused for a channel", "%d", r.Refused)
		line("not granted, and received", "%d", r.Ungranted)
	}
	line("messages published", "%d", r.Published)
	line("  acknowledged", "%d", r.Acknowledged)
	line("  published again", "%d", r.Repeats)
	line("deliveries checked", "%d", r.Checked)
	line("gaps sent", "%d", r.Gaps)
	line("  real", "%d", r.GapsReal)
	line("  sent again to a poll", "%d", r.GapsAgain)
	line("  false", "%d", r.GapsFalse)
	line("lost", "%d", r.Lost)
	line("repeated", "%d", r.Repeated)
	line("reordered", "%d", r.Reordered)
	line("damaged or foreign", "%d", r.Damaged)
	line("contradictions in the order", "%d", r.Faults)
	line("clients behind at the end", "%d", r.Behind)
	if h := r.Webhooks; h != nil {
		line("webhooks: receivers killed", "%d times", h.Kills)
		line("  requests", "%d, %d of them repeats", h.Requests, h.Repeats)
		line("  events", "%d", h.Events)
		line("  missing", "%d", h.Missing)
		line("  out of order", "%d", h.Disorder)
		line("  again under another id", "%d", h.Renamed)
		line("  repeats that differ", "%d", h.Different)
		line("  damaged or not signed", "%d", h.Damaged)
		line("  gaps", "%d", h.Gaps)
	}
	r.Answers.write(line)
	for _, f := range r.Findings {
		line("  wrong:", "%s", f)
	}
	return err
}

// write prints what became of the questions.
func (a *Answers) write(line func(name, format string, args ...any)) {
	if a == nil {
		return
	}
	line("questions to the trace", "%d", a.Asked)
	line("  wrong answers", "%d", a.Wrong)
	line("  not known", "%d of %d (%.2f %%)", a.NotKnown, a.Asked-a.Before, 100*float64(a.NotKnown)/float64(max(1, a.Asked-a.Before)))
	line("  older than the record", "%d, of messages from before a restart", a.Before)
	for _, v := range slices.Sorted(maps.Keys(a.Verdicts)) {
		line("    "+v, "%d connections", a.Verdicts[v])
	}
	for _, by := range slices.Sorted(maps.Keys(a.By)) {
		line("    sent, "+by, "%d", a.By[by])
	}
	for _, m := range a.Missing {
		line("  never said", "%s", m)
	}
}

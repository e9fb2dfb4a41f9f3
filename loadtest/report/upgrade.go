package report

import "fmt"

func (p *printer) upgrades(u *Upgrades) {
	if u == nil {
		return
	}
	p.line("upgrades", "%d; %d disconnects, %d gaps", len(u.Each), u.Disconnects, u.Gaps)
	p.times("deliveries", u.Deliveries)
	p.times("publishers", u.Publishers)
	p.printf("\n%9s %8s   %-34s %-34s %s\n", "at", "took", "deliveries p50 · p99 · max ms", "publishers p50 · p99 · max ms", "disconnected · repeated · gaps")
	row := func(at, took string, w *Pause) {
		p.printf("%9s %8s   %-34s %-34s %d · %d · %d\n", at, took, brief(w.Deliveries), brief(w.Publishers), w.Disconnects, w.Duplicated+w.Reordered, w.Gaps)
	}
	row("before", "", &u.Before)
	for i := range u.Each {
		e := &u.Each[i]
		row(seconds(e.At), seconds(e.Took), &e.Pause)
	}
	for i := range u.Each {
		if said := u.Each[i].Said; said != "" {
			p.line("", "%s", said)
		}
	}
}

// brief is a distribution in one column.
func brief(t *Times) string {
	if t == nil || t.Count == 0 {
		return "–"
	}
	return orLost(t.P50) + " · " + orLost(t.P99) + " · " + orLost(t.Max)
}

func seconds(s float64) string { return fmt.Sprintf("%.2f s", s) }

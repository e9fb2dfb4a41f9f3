package chaos

import (
	"encoding/json"
	"fmt"
)

// Deliveries is what the judge found at the receivers of webhooks. What is below Events is wrong.
type Deliveries struct {
	Kills     int    `json:"kills"` // of all receivers
	Requests  uint64 `json:"requests"`
	Repeats   uint64 `json:"repeats"` // of a request, with its id
	Events    uint64 `json:"events"`  // without repeats
	Missing   uint64 `json:"missing"` // publications that were acknowledged
	Disorder  uint64 `json:"disorder"`
	Renamed   uint64 `json:"renamed"`   // an event comes again in a request with another id
	Different uint64 `json:"different"` // a repeat is another request
	Damaged   uint64 `json:"damaged"`   // not what was published, or not signed
	Gaps      uint64 `json:"gaps"`      // though nothing is gone

	findings []string
}

// Clean reports that every promise was kept.
func (d *Deliveries) Clean() bool {
	return d == nil || d.Missing+d.Disorder+d.Renamed+d.Different+d.Damaged+d.Gaps == 0
}

// hookEvent is one event of a request.
type hookEvent struct {
	ID, Type, Channel, Data, Cursor string
}

// events are those of the request.
func (d *delivery) events() ([]hookEvent, error) {
	var body struct{ Data struct{ Events []hookEvent } }
	err := json.Unmarshal([]byte(d.body), &body)
	return body.Data.Events, err
}

func (d *Deliveries) find(count *uint64, format string, args ...any) {
	if *count++; *count <= findingsOfAKind {
		d.findings = append(d.findings, "webhooks: "+fmt.Sprintf(format, args...))
	}
}

// judge says what is wrong with what came, of publications with ids from first on. all are those that were published, and
// lives the numbers of epochs. shared: nodes share the log, and one that was stopped may repeat an older request.
func (h *Webhooks) judge(first uint64, all []publication, lives *lives, shared bool) *Deliveries {
	d := &Deliveries{Kills: h.kills}
	for i := range h.boxes {
		d.box(i, &h.boxes[i], first, all, lives, shared)
	}
	return d
}

func (d *Deliveries) box(i int, b *box, first uint64, all []publication, lives *lives, shared bool) {
	heard := make([]bool, len(all)+1)
	bodies, newest := map[string]string{}, ""
	var last place
	for n := range b.requests {
		r := &b.requests[n]
		d.Requests++
		if r.forged || r.id == "" {
			d.find(&d.Damaged, "receiver %d, request %d: the signature is wrong", i, n)
			continue
		}
		if body, known := bodies[r.id]; known {
			d.Repeats++
			if body != r.body {
				d.find(&d.Different, "receiver %d: %s has two bodies", i, r.id)
			}
			if r.id != newest && !shared {
				d.find(&d.Disorder, "receiver %d: %s is repeated behind %s", i, r.id, newest)
			}
			continue
		}
		bodies[r.id], newest = r.body, r.id
		events, err := r.events()
		if err != nil || len(events) == 0 {
			d.find(&d.Damaged, "receiver %d: %s has no events", i, r.id)
		}
		for _, e := range events {
			d.event(i, r.id, &e, &last, heard, all, lives)
		}
	}
	for id := first; id <= uint64(len(all)); id++ {
		if p := &all[id-1]; !p.at.isZero() && !heard[id] {
			d.find(&d.Missing, "receiver %d: message %d, acknowledged at %v", i, id, p.at)
		}
	}
}

func (d *Deliveries) event(i int, request string, e *hookEvent, last *place, heard []bool, all []publication, lives *lives) {
	d.Events++
	at, ok := lives.read(e.Cursor)
	if e.Type == "gap" {
		d.find(&d.Gaps, "receiver %d: %s is a gap", i, request)
		return
	}
	l, good := parseData([]byte(e.Data))
	channel, named := channelNumber(e.Channel)
	if !ok || !good || !named || e.Type != "publication" || l.channel != channel || l.id == 0 || l.id > uint64(len(all)) || all[l.id-1].label != l {
		d.find(&d.Damaged, "receiver %d, %s: %s %s %.60q", i, request, e.Type, e.Channel, e.Data)
		return
	}
	if heard[l.id] {
		d.find(&d.Renamed, "receiver %d: message %d comes again in %s", i, l.id, request)
		return
	}
	heard[l.id] = true
	if at.compare(*last) <= 0 {
		d.find(&d.Disorder, "receiver %d: message %d at %v comes behind %v", i, l.id, at, *last)
	}
	*last = at
}

package outside

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"peal/cmd/peal/doctor"
)

// silence watches quiet connections of each kind, all at the same time: an event stream
// and a WebSocket until their first heartbeat, and a poll until its response.
func (e *examination) silence(ctx context.Context) {
	checks := []struct {
		name  string
		watch func(context.Context, string) verdict
	}{{"idle-event-stream", e.quietStream}, {"idle-websocket", e.quietSocket}, {"long-poll", e.quietPoll}}
	if e.Quick {
		for _, c := range checks {
			e.skip(c.name, "--quick leaves it out")
		}
		return
	}
	verdicts := make([]verdict, len(checks))
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() { verdicts[i] = c.watch(ctx, c.name) })
	}
	all.Wait()
	for i, v := range verdicts {
		if v.value == "" {
			e.add(v.finding)
			continue
		}
		e.fault(checks[i].name, v.value, v.why, v.symptom)
	}
}

// verdict is a finding, or a fault of a proxy.
type verdict struct {
	finding doctor.Finding

	value, why string
	symptom    symptom
}

func fine(f doctor.Finding) verdict { return verdict{finding: f} }

// rounded is a time for people.
func rounded(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

const whyIdle = "clients reconnect all the time, and miss what a raw WebSocket cannot resume"

// watched is the verdict about a connection that was quiet for so long.
func (e *examination) watched(check string, began time.Time, err error, s symptom) verdict {
	took := rounded(time.Since(began))
	switch {
	case err == nil:
		return fine(doctor.Fine(check, "a heartbeat arrives after %s of silence", took))
	case errors.Is(err, errLate):
		return fine(doctor.Warn(check, fmt.Sprintf("still open after %s, and no heartbeat has arrived", took), "a proxy that cuts later than that was not found out", "--idle, longer than the heartbeat of the server (heartbeat); or a lower heartbeat"))
	}
	return verdict{value: fmt.Sprintf("cut after %s of silence, before the heartbeat (%v)", took, err), why: whyIdle, symptom: s}
}

func (e *examination) quietStream(ctx context.Context, check string) verdict {
	if !e.reader {
		return fine(doctor.Skip(check, "%s", e.denied))
	}
	if !e.streams {
		return fine(doctor.Skip(check, "no event stream: see event-stream"))
	}
	s, end, err := e.followSoon(ctx, nil)
	defer end()
	if err != nil || s.body != "" {
		return fine(doctor.Skip(check, "no event stream: see event-stream"))
	}
	isPosition := func(v event) bool { return v.name == "peal.cursor" }
	if _, err := s.await(ctx, e.Patience, isPosition); err != nil && !errors.Is(err, errLate) {
		return verdict{value: "cut before its first event (" + err.Error() + ")", why: whyIdle, symptom: shortRead}
	} else if err != nil {
		return fine(doctor.Skip(check, "no events arrive: see event-stream"))
	}
	began := time.Now()
	_, err = s.await(ctx, e.Idle, isPosition)
	return e.watched(check, began, err, shortRead)
}

func (e *examination) quietSocket(ctx context.Context, check string) verdict {
	protocol, query := "peal.v1", url.Values(nil)
	s, _, err := e.open(ctx, protocol, query)
	if err != nil {
		s, _, err = e.open(ctx, "peal.raw", url.Values{"channel": {e.Channel}})
	}
	if err != nil {
		return fine(doctor.Skip(check, "no WebSocket: see websocket"))
	}
	defer s.end()
	began := time.Now()
	f, err := s.next(ctx, e.Idle, func(f frame) bool { return f.ping })
	if f.code >= 4400 {
		return fine(doctor.Skip(check, "Peal closes it: %v", err))
	}
	return e.watched(check, began, err, shortSocket)
}

func (e *examination) quietPoll(ctx context.Context, check string) verdict {
	if !e.reader {
		return fine(doctor.Skip(check, "%s", e.denied))
	}
	r := e.ask(ctx, e.Poll+e.Patience, http.MethodGet, "poll", url.Values{"timeout": {fmt.Sprint(int(e.Poll.Seconds()))}}, "", nil)
	took := rounded(r.took)
	switch {
	case r.status == http.StatusOK && r.ofPeal():
		return fine(doctor.Fine(check, "held for %s", took))
	case r.ofPeal():
		return fine(doctor.Fail(check, fmt.Sprintf("%s after %s: %s", r, took, r.message), "clients that poll get this error", "docs/protocol.md lists the codes and what to do"))
	}
	return verdict{
		value: fmt.Sprintf("cut after %s of %s: %s", took, e.Poll, r), symptom: shortPoll,
		why: "polls are silent until a message arrives: clients get errors in place of responses",
	}
}

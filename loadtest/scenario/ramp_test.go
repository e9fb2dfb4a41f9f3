package scenario

import (
	"testing"
	"time"

	"peal/loadtest/liar"
	"peal/loadtest/report"
)

// TestRampConnectsAnewAfterAStepThatBroke has the server hang up on one of the first
// connections, at a message that only the second step reaches: the rates in between
// must hold.
func TestRampConnectsAnewAfterAStepThatBroke(t *testing.T) {
	l := liar.StartOdd(t, liar.Oddity{Lie: func(to *liar.Subscriber, n uint64, message string) {
		to.Send(message)
		if to.Number == 1 && n == 60 {
			to.HangUp()
		}
	}})
	o, err := report.ParseObjective("errors>0")
	if err != nil {
		t.Fatal(err)
	}
	s := small(l)
	s.Rate, s.Step, s.Factor, s.Settle, s.Objectives = 100, 500*time.Millisecond, 2, time.Second, []report.Objective{o}
	r, err := Run(t.Context(), "ramp", s)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Ramp.Steps) != 4 || r.Ramp.Carries != 175 || r.Ramp.LimitedBy != "errors>0 (it is 1)" || r.Connections.Closed != 0 {
		t.Errorf("%+v, %d closed; want steps of 100, 150, 175 and 200, of which only that broke", r.Ramp, r.Connections.Closed)
	}
}

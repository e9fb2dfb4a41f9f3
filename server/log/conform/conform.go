// Package conform is what every engine of the log must do, as tests: append, order, read
// and tail, retention and its gap, restarts, state, and, of an engine that several nodes
// share, everything that they must agree on.
//
// An engine's own tests call Run with a Subject, and keep what is special about it: files
// that are damaged, a store that fails in its own ways. For those of a store, Start, Traffic
// and its judges are here.
package conform

import (
	"testing"

	"peal/server/log"
)

// Subject is an engine under test.
type Subject struct {
	// New makes an empty place, which ends with the test.
	New func(t *testing.T) *Place

	Persistent  bool // an engine that is opened on the place of one that was closed goes on there
	Distributed bool // several may be open at the same time on one place
}

// Place is where logs are kept: a directory, a store. A function may be nil where the engine
// has no such thing.
type Place struct {
	// Open opens an engine that is not started. Where small is true it retains a few thousand
	// entries of 1 KiB at most, and forgets them within seconds.
	Open func(t *testing.T, small bool) log.Engine

	// Succeed opens an engine that goes on with the log of another one of the place.
	Succeed func(t *testing.T, h log.Handover) (log.Incoming, error)

	Cut func(t *testing.T) // cuts all connections to the store; new ones are good

	// Gone has the store disappear until Back, which loses nothing.
	Gone, Back func(t *testing.T)

	// Restart ends the store and starts it again, with everything that was acknowledged.
	Restart func(t *testing.T)
}

// Run runs all tests that apply to the subject.
func Run(t *testing.T, s Subject) {
	for _, test := range tests {
		if test.needs.persistent && !s.Persistent || test.needs.distributed && !s.Distributed {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			p := s.New(t)
			if test.needs.cut && p.Cut == nil || test.needs.gone && p.Gone == nil || test.needs.restart && p.Restart == nil || test.needs.succeed && p.Succeed == nil {
				return // the engine has no connections, or no store that ends without it
			}
			test.run(t, &world{Place: p, subject: s})
		})
	}
}

type needs struct{ persistent, distributed, cut, gone, restart, succeed bool }

var tests = []struct {
	name  string
	needs needs
	run   func(t *testing.T, w *world)
}{
	{"AppendNumbersShowsAndIsDone", needs{}, appendNumbersShowsAndIsDone},
	{"ABatchIsWhole", needs{}, aBatchIsWhole},
	{"EveryFieldComesBack", needs{}, everyFieldComesBack},
	{"CursorsOfThisLifeResolveUpToItsHead", needs{}, cursorsResolveUpToTheHead},
	{"AHundredThousandSmallOnes", needs{}, aHundredThousandSmallOnes},
	{"LargeMessages", needs{}, largeMessages},
	{"DataIsShared", needs{}, dataIsShared},
	{"ControlEntriesAlwaysHaveRoom", needs{}, controlEntriesAlwaysHaveRoom},
	{"ATailWithoutRoom", needs{}, aTailWithoutRoom},
	{"CloseFinishesWhatWasAccepted", needs{}, closeFinishesWhatWasAccepted},
	{"ReadFromAnySequence", needs{}, readFromAnySequence},

	{"ARestartGoesOn", needs{persistent: true}, aRestartGoesOn},
	{"WhatIsForgottenIsMissing", needs{persistent: true}, whatIsForgottenIsMissing},
	{"WideMessagesAreForgottenInPart", needs{persistent: true}, wideMessagesAreForgottenInPart},
	{"StateOutlastsTheEntries", needs{persistent: true}, stateOutlastsTheEntries},

	{"AHandOverGoesOn", needs{succeed: true}, aHandOverGoesOn},
	{"AHandOverIsCalledOff", needs{succeed: true}, aHandOverIsCalledOff},
	{"HandOversInARow", needs{succeed: true}, handOversInARow},
	{"AHandOverOfNothing", needs{succeed: true}, aHandOverOfNothing},
	{"SharedDataIsHandedOverOnce", needs{succeed: true}, sharedDataIsHandedOverOnce},
	{"AHandOverUnderTraffic", needs{succeed: true}, aHandOverUnderTraffic},
	{"OthersAppendDuringAHandOver", needs{succeed: true, distributed: true}, othersAppendDuringAHandOver},

	{"TwoNodesHaveOneOrder", needs{distributed: true}, twoNodesHaveOneOrder},
	{"ANodeThatComesLaterHasEverything", needs{distributed: true}, aNodeThatComesLaterHasEverything},
	{"AnIdempotencyKeyHoldsOnAllNodes", needs{distributed: true}, anIdempotencyKeyHoldsOnAllNodes},
	{"ASlowNodeKeepsNobody", needs{distributed: true}, aSlowNodeKeepsNobody},
	{"APositionOfAnotherNodeIsAhead", needs{distributed: true}, aPositionOfAnotherNodeIsAhead},
	{"OrdersOfAllNodesReachAll", needs{distributed: true}, ordersOfAllNodesReachAll},

	{"CutConnectionsLoseNothing", needs{distributed: true, cut: true}, cutConnectionsLoseNothing},
	{"AStoreThatIsGoneIsUnavailable", needs{distributed: true, gone: true}, aStoreThatIsGoneIsUnavailable},
	{"AStoreThatRestartsLosesNothing", needs{distributed: true, restart: true}, aStoreThatRestartsLosesNothing},
}

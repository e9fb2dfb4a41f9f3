package redis_test

import (
	"fmt"
	"testing"

	"peal/loadtest/redisd"
	"peal/server/log/conform"
)

// Before it reads the log, a node knows how much there is.
func TestANodeKnowsHowMuchThereIsToRead(t *testing.T) {
	t.Parallel()
	server := redisd.For(t, durable)
	first := open(t, server.URL(), config())
	if n := first.Retained(); n != 0 {
		t.Errorf("an empty log has %d entries", n)
	}
	n := conform.Start(t, first)
	for i := range 30 {
		must(t, try(n, fmt.Sprint(i)))
	}
	must(t, server.Restart(t.Context())) // the next node begins an epoch
	second := open(t, server.URL(), config())
	if got := second.Retained(); got != 30 {
		t.Errorf("%d entries, want 30", got)
	}
	if restored := conform.Start(t, second).Restored; len(restored) < 30 {
		t.Errorf("restored %d entries", len(restored))
	}
}

// Entries that are removed while the node runs are not the oldest of peal status.
func TestOldestMovesWhileEntriesCome(t *testing.T) {
	t.Parallel()
	server := redisd.For(t, durable)
	c := config()
	c.Entries = 500
	n := conform.Start(t, open(t, server.URL(), c))
	f := conform.StartTraffic(t, n)
	conform.Until(t, "the oldest entry is a later one", func() bool { return n.Oldest() > 1 })
	f.JudgeLoss(t)
}

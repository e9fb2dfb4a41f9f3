package server_test

import (
	"testing"

	"peal/loop/fanout"
	"peal/server"
	"peal/server/rules"
)

// A slow consumer receives a gap for the presence events that it missed, and is not
// closed for it, because no history retains them.
func TestRulesForSlowConsumersAreNotForPresence(t *testing.T) {
	for _, slow := range []fanout.Policy{fanout.Latest, fanout.Disconnect} {
		table := rules.New([]rules.Rule{{Match: "*", Slow: slow}}, rules.Rule{})
		if got := server.Policy(table, "$presence:a"); got != fanout.Resume {
			t.Errorf("%v: policy %d on the presence of a channel", slow, got)
		}
		if got := server.Policy(table, "a"); got == fanout.Resume {
			t.Errorf("%v: it is not that of the channel", slow)
		}
	}
}

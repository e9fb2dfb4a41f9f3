package loop_test

import (
	"testing"

	"peal/loop"
)

// A slot and a descriptor are used again as soon as a connection is closed: what
// was meant for that one must not reach the next.
func TestSenderRefusesAConnectionThatIsGone(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	first := s.dial()
	s.awaitConnections(1)
	gone := s.group.NameOf(0, 0)
	first.Close()
	s.awaitEmpty()
	second := s.dial()
	s.awaitConnections(1)
	if s.group.NameOf(0, 0) == gone {
		t.Fatal("two connections of one slot have the same name")
	}
	for _, now := range []bool{true, false} {
		if n, err := s.group.Send(0, gone, now, "for the first\n"); n != 0 || err == nil {
			t.Errorf("to the connection that is gone, at once: %v: %d B were sent, error %v", now, n, err)
		}
	}
	if _, err := s.group.Send(0, s.group.NameOf(0, 0), false, "for the second\n"); err != nil {
		t.Error(err)
	}
	second.expect("for the second")
}

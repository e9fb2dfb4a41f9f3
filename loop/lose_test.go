package loop_test

import (
	"fmt"
	"testing"

	"peal/loop/frame"
)

// When a part of the log is lost, everybody who is connected receives a gap at once, on
// channels that have been silent, too, and what follows comes behind it.
func TestALossIsAGapForWhoIsConnected(t *testing.T) {
	s := start(t, options{})
	stream, idle, commands, raw, ignoring, poll := s.dial(), s.dial(), s.dial(), s.dial(), s.dial(), s.dial()
	stream.sse("a now")
	idle.sse("silent now")
	commands.ws("wsjson", "a,b now")
	commands.expectFrame(opText, "open 0\n")
	raw.ws("wsraw", "a now")
	ignoring.ws("wsraw", "a now ignoregap")
	poll.send("poll silent now 60\n")
	s.await("the poll is held", func() bool { return s.sum(polls) == 1 })
	s.publish("a", "before")
	stream.expect("m 1 a before")
	commands.expectFrame(opText, "m 1 a before\n")
	raw.expectFrame(opText, "before")
	ignoring.expectFrame(opText, "before")

	s.journal.lose(10)
	s.group.Look()
	stream.expect("gap a 1 11")
	idle.expect("gap silent 0 11")
	commands.expectFrame(opText, "gap a 1 11\n")
	commands.expectFrame(opText, "gap b 1 11\n")
	if op, payload := raw.frame(); op != opClose || payload[:2] != closePayload(int(frame.CloseGap), "") {
		t.Errorf("raw: frame %d %q, want a close with %d", op, payload, frame.CloseGap)
	}
	poll.expect("poll 11 1 0", "gap silent 0 11")

	s.publish("a", "behind")
	stream.expect("m 12 a behind")
	commands.expectFrame(opText, "m 12 a behind\n")
	ignoring.expectFrame(opText, "behind")
	late := s.dial()
	late.sse("a 1")
	late.expect("gap a 1 11", "m 12 a behind")
}

// A loop that is behind when a part of the log is lost delivers what it has not
// delivered yet, or a gap in its place, and nothing out of order.
func TestALossInTheMiddleOfAFanOut(t *testing.T) {
	const rounds, messages = 30, 40
	s := start(t, options{})
	var all []*client
	for i := range 12 {
		c := s.dial()
		c.sse([]string{"a now", "a,b now", "b now"}[i%3])
		all = append(all, c)
	}
	s.await("subscribers", func() bool { return s.journal.subscribers() == 16 })
	last := uint64(0)
	for range rounds {
		for range messages {
			s.publish("a", "x")
			s.publish("b", "x")
		}
		s.journal.lose(3)
		s.group.Look()
	}
	s.publish("a", "end")
	last = s.publish("b", "end")
	for i, c := range all {
		channels := [][]string{{"a"}, {"a", "b"}, {"b"}}[i%3]
		at := map[string]uint64{} // all of the channel up to here came, or is a gap
		position := uint64(0)
		for end := false; !end; {
			line := c.line()
			var from, to, sequence uint64
			var channel, data string
			switch {
			case scan(line, "gap %s %d %d", &channel, &from, &to):
				at[channel] = to
			case scan(line, "m %d %s %s", &sequence, &channel, &data):
				if sequence <= position {
					t.Fatalf("client %d: %d behind %d", i, sequence, position)
				}
				for _, name := range channels {
					if got := lossBefore(sequence, 2*messages, 3); got > at[name] && position < got {
						t.Fatalf("client %d: %d on %s came, and no gap on %s up to %d", i, sequence, channel, name, got)
					}
				}
				position = sequence
				end = data == "end" && (sequence == last || len(channels) == 1)
			default:
				t.Fatalf("client %d: %q", i, line)
			}
		}
	}
}

// lossBefore is the end of the last loss before a sequence, where so many messages and
// then so many lost entries follow each other.
func lossBefore(sequence, messages, lost uint64) uint64 {
	return (sequence - 1) / (messages + lost) * (messages + lost)
}

func scan(line, format string, values ...any) bool {
	n, err := fmt.Sscanf(line, format, values...)
	return err == nil && n == len(values)
}

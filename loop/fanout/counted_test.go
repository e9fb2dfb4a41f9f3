package fanout_test

import (
	"testing"

	"peal/loop/fanout"
	"peal/loop/ring"
)

// However many subscribe, and however they are served (from a strip, by the
// answer of a poll, from history), a message is encoded once in each encoding,
// and counted when that is done.
func TestEncodingIsCountedOncePerMessageAndEncoding(t *testing.T) {
	w := newStopwatch(t)
	const messages = 7
	publish := func(encodings uint64) {
		t.Helper()
		before := w.fan.Stats().Encodings
		for range messages {
			w.publish("A", 0)
			for w.flush(sceneBudget) {
			}
		}
		if got := w.fan.Stats().Encodings - before; got != encodings {
			t.Errorf("%d messages were encoded %d times, want %d", messages, got, encodings)
		}
	}
	publish(0)
	w.subscribe(50, false, fanout.Subscription{Channels: []string{"A"}, Encoding: encLine})
	publish(messages)
	w.subscribe(50, false, fanout.Subscription{Channels: []string{"A"}, Encoding: encMute})
	publish(2 * messages)
	w.subscribe(50, false, fanout.Subscription{Channels: []string{"A"}, Encoding: encPoll, OneShot: true})
	publish(2*messages + 1) // polls are answered by the first message and do not come back

	m := &ring.Message{Sequence: 1, Channel: "A", Size: 10, Entry: make([]byte, 10)}
	w.source.kept["A"] = []*ring.Message{m}
	before := w.fan.Stats().Encodings
	w.subscribe(50, false, fanout.Subscription{Channels: []string{"A"}, Encoding: encLine, From: fanout.After})
	for w.flush(sceneBudget) {
	}
	if got := w.fan.Stats().Encodings - before; got != 1 {
		t.Errorf("a message of history was encoded %d times for 50 members, want once", got)
	}
}

// Polls that share an answer are served as much as those that do not.
func TestSharedAnswersAreDeliveries(t *testing.T) {
	w := newStopwatch(t)
	const polls = 20
	w.subscribe(polls, false, fanout.Subscription{Channels: []string{"A"}, Encoding: encPoll, OneShot: true})
	w.publish("A", 0)
	w.publish("A", 0)
	for w.flush(sceneBudget) {
	}
	if s := w.fan.Stats(); s.Deliveries != 2*polls || s.Sends != polls {
		t.Errorf("%d deliveries by %d sends, want %d by %d", s.Deliveries, s.Sends, 2*polls, polls)
	}
}

package server

import (
	"fmt"

	"peal/server/engine"
	"peal/server/log"
	"peal/server/look"
	"peal/server/publication"
	"peal/server/token"
)

// Limits depend on one another: a message that may be published must fit into
// what reads it and into what holds it for a subscriber, or it is accepted and then
// cuts its subscribers off. The functions below say how much is needed; relations
// reports each setting that is less.

// readAhead is what a loop may read of a connection behind the request or message
// under way: one buffer.
const readAhead = 64 << 10

// inputFor is the least InputBytes with which a request of so many bytes arrives:
// buffers grow by steps, and their capacity is counted.
func inputFor(bytes int) int { return 2 * (bytes + readAhead) }

// largestInput is the inverse of inputFor: what arrives with so much InputBytes.
func largestInput(input int) int { return input/2 - readAhead }

// heldFor is the least HeldBytes with which one response or message of so many
// bytes is kept for a socket that is full, beside another.
func heldFor(bytes int) int { return 2 * bytes }

// wireLimit is how long one message may be as it is sent, in the longest of its
// encodings: the inverse of heldFor. Longer ones are refused when they are published.
func (c Config) wireLimit() int { return c.Loop.Fanout.HeldBytes / 2 }

// headRest is what browsers send in a head beside a token, at least.
const headRest = 1 << 10

// gapBytes is at least what one frame that tells a peal.v1 client of a gap takes.
const gapBytes = 512

// laneFor is the least LaneBytes that holds a gap for each channel of a connection.
func laneFor(channels int) int { return gapBytes * channels }

// memberBytes is at least what one member takes in an event of presence: the longest
// name and info, escaped.
const memberBytes = 6*(200+1<<10) + 64

// relations reports each limit of c, which has its defaults, that is too small for
// another, with the number to set.
func (c Config) relations() (faults []error) {
	atLeast := func(name string, have, need int, why string, args ...any) {
		if have < need {
			faults = append(faults, fmt.Errorf("config: %s of %d B: must be at least %d B %s: set %s to %d or more",
				name, have, need, fmt.Sprintf(why, args...), name, need))
		}
	}
	message, fan := c.Loop.MessageBytes, c.Loop.Fanout
	if c.Token.Configured() {
		atLeast("head-bytes", c.HTTP.HeadLimit, token.MaxBytes+headRest,
			"for a token of %d B beside other headers; otherwise such a token never arrives", token.MaxBytes)
	}
	atLeast("input-bytes", c.Loop.InputBytes, inputFor(message+c.HTTP.HeadLimit),
		"for a message of %d B (message-bytes) behind a head of %d B (head-bytes); otherwise no such message arrives", message, c.HTTP.HeadLimit)
	atLeast("input-bytes", c.Loop.InputBytes, inputFor(c.HTTP.BatchLimit+c.HTTP.HeadLimit),
		"for a batch of %d B (batch-bytes) behind a head of %d B (head-bytes); otherwise no such batch arrives", c.HTTP.BatchLimit, c.HTTP.HeadLimit)
	atLeast("input-bytes", c.Loop.InputBytes, inputFor(c.Loop.ParkedBytes),
		"for one connection whose requests wait (%d B, parked-bytes)", c.Loop.ParkedBytes)
	atLeast("held-bytes", fan.HeldBytes, heldFor(publication.BinaryBytes(message)),
		"for a message of %d B (message-bytes), which has up to %d B as JSON with base64; otherwise the server closes slow subscribers", message, publication.BinaryBytes(message))
	atLeast("held-bytes", fan.HeldBytes, heldFor(fan.AnswerBytes),
		"for a poll's response of %d B (answer-bytes); otherwise slow clients never receive it", fan.AnswerBytes)
	atLeast("held-bytes", fan.HeldBytes, heldFor(look.PageBytes),
		"for a page of history (%d B); otherwise slow clients never receive it", look.PageBytes)
	atLeast("held-bytes", fan.HeldBytes, heldFor(c.Presence.Named*memberBytes),
		"for an event that names %d members (presence-named); otherwise the server closes slow subscribers", c.Presence.Named)
	atLeast("lane-bytes", fan.LaneBytes, laneFor(c.HTTP.ChannelLimit),
		"for a gap on each of %d channels (max-channels); otherwise a client that resumes them on a full socket is closed", c.HTTP.ChannelLimit)
	atLeast("held-bytes", fan.HeldBytes, heldFor(fan.LaneBytes),
		"for the replies to one connection (%d B, lane-bytes)", fan.LaneBytes)
	atLeast("ring-bytes", c.RingBytes, message+log.EntryOverhead+maxNames,
		"for a message of %d B (message-bytes); otherwise it waits until every loop has read everything else", message)
	if setting, queue := engine.Queue(c.Engine, c.Settings); setting != "" {
		atLeast(setting, queue, message+log.EntryOverhead+maxNames,
			"for a message of %d B (message-bytes); otherwise it waits until everything else is written", message)
	}
	return faults
}

// maxNames is what channel, event and idempotency key of a message have at most.
const maxNames = 3 * 200

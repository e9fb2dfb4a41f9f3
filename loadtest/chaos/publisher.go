package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"peal/loadtest"
)

// Channels are named c0, c1 …; a publication in each life of the server goes to
// the one after the last, which no client follows.
const channelPrefix = "c"

func channelName(n int32) string { return loadtest.ChannelName(channelPrefix, int(n)) }

func channelNumber(name string) (int32, bool) {
	digits, ok := strings.CutPrefix(name, channelPrefix)
	n, err := strconv.ParseInt(digits, 10, 32)
	return int32(n), ok && err == nil
}

// Sizes of messages: most are small, some fill a stalled client's socket.
const (
	smallBytes      = 400
	bigBytes        = 6000
	bigInPercent    = 10
	loseInPercent   = 5                     // of answers, where publications are repeated
	publisherPauses = 20 * time.Millisecond // after a failure
	answerWait      = 5 * time.Second       // of a node of a cluster
)

// publisher publishes to channels of its own, one message after another: each
// is sent when the one before was answered, or its connection died.
//
// To a log that keeps everything it repeats a message whose fate is open, with
// its id as the idempotency key, until it is answered: that must be one message.
type publisher struct {
	run      *run
	channels []int32
	rnd      *rand.Rand
	conn     *loadtest.Publisher // nil: none
	data     []byte
	id       uint64 // of data
	again    label  // to be repeated before anything else, with the same data; id 0: nothing
	branch   uint64 // of the run, when that was sent
	node     int    // of conn; of a cluster another one each time
}

// live publishes rate messages per second until the run is ending, and then to
// each channel one that is acknowledged, the last. It returns their ids.
func (p *publisher) live(ctx context.Context, rate float64) map[int32]uint64 {
	defer p.hangUp()
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-tick.C:
			if p.run.Questions != nil && p.run.now()%lullEvery > lullEvery-lull {
				continue // then streams are silent, and receive pings
			}
			_, err := p.publish(ctx, p.channels[p.rnd.IntN(len(p.channels))])
			if err != nil {
				pause(ctx, publisherPauses)
			}
		case <-p.run.ending:
			running = false
		case <-ctx.Done():
			return nil
		}
	}
	last := map[int32]uint64{}
	ending := p.run.ledger.next()
	for _, c := range p.channels {
		for last[c] == 0 && ctx.Err() == nil {
			id, err := p.publish(ctx, c)
			if err != nil {
				pause(ctx, publisherPauses)
				continue
			}
			// One that was begun before and is only repeated is in the log already: a
			// client that has just exchanged channels may have a cursor beyond it.
			if id >= ending {
				last[c] = id
			}
		}
	}
	return last
}

// publish sends one message, to channel or the one to be repeated, and enters
// what came of it into the ledger. Any error leaves its fate open.
func (p *publisher) publish(ctx context.Context, channel int32) (id uint64, err error) {
	p.run.branchMu.RLock()
	defer p.run.branchMu.RUnlock()
	if p.branch != p.run.branch {
		p.again, p.branch = label{}, p.run.branch
	}
	if p.conn == nil {
		p.node = p.rnd.IntN(len(p.run.addrs()))
		dial, cancel := context.WithTimeout(ctx, 2*time.Second)
		p.conn, err = loadtest.DialPublisher(dial, loadtest.PublishTarget{Endpoint: p.run.endpoint(p.node), Path: path, Streams: p.run.Channels + 1, Connections: 1, Compose: p.compose})
		cancel()
		if err != nil {
			p.conn = nil
			return 0, err
		}
	}
	l, loses := p.again, false
	if l.id == 0 {
		l = p.next(channel)
		loses = p.run.Keeps == All && p.rnd.IntN(100) < loseInPercent
	}
	p.again = label{}
	p.id = l.id
	body, err := p.send(l)
	if err == nil && loses {
		err = errLoses
	}
	if err != nil {
		p.hangUp()
		if p.run.Keeps == All {
			p.again = l
			p.run.ledger.repeat(l.id)
			p.run.count(&p.run.figures.Repeats)
		}
		return 0, err
	}
	var answer struct{ Cursor string }
	err = json.Unmarshal(body, &answer)
	at, ok := p.run.lives.read(answer.Cursor)
	if err != nil || !ok {
		p.run.fault("publish: no cursor in the response %.200q", body)
		return 0, errors.New("no cursor in the response")
	}
	p.run.ledger.acknowledge(l.id, at, answer.Cursor)
	if l.channel != channel {
		return 0, errRepeated
	}
	return l.id, nil
}

// send sends data, and returns the answer. A node of a cluster has less time for it,
// because another one may take the message instead.
func (p *publisher) send(l label) (answer []byte, err error) {
	if p.run.Nodes == nil {
		return p.conn.Publish(int(l.channel), p.data)
	}
	p.conn.Queue(int(l.channel), p.data)
	o := p.conn.Settle(answerWait)
	return o.Answer, o.Reason
}

var path = loadtest.PublishPath(channelPrefix)

// compose makes the request that publishes data.
func (p *publisher) compose(dst []byte, channel int, data []byte) []byte {
	head := fmt.Sprintf("Idempotency-Key: %d\r\n", p.id)
	if p.run.Access != nil {
		head += "Authorization: Bearer " + p.run.Access.Key + "\r\n"
	}
	return loadtest.AppendRequest(dst, "POST", path(channel), p.run.addrs()[p.node], head, data)
}

// errLoses: the publisher behaves as if the answer had never come.
var errLoses = errors.New("the response was lost")

// errRepeated: another message was published first.
var errRepeated = errors.New("an earlier message was published again")

// next makes a new message for channel, and its data.
func (p *publisher) next(channel int32) label {
	size := p.rnd.IntN(smallBytes)
	if p.rnd.IntN(100) < bigInPercent {
		size = p.rnd.IntN(bigBytes)
	}
	if p.run.Questions != nil && int(channel) >= p.run.Channels-p.run.Latest && int(channel) < p.run.Channels && p.rnd.IntN(2) == 0 {
		size = p.rnd.IntN(fatBytes)
	}
	l := p.run.ledger.begin(channel)
	p.data = appendData(p.data[:0], l, size, p.rnd)
	return l
}

func (p *publisher) hangUp() {
	if p.conn != nil {
		_ = p.conn.Close()
		p.conn = nil
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

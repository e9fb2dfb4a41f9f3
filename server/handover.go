package server

import (
	"bytes"
	"encoding/gob"
	"fmt"

	"golang.org/x/sys/unix"

	"peal/loop"
	"peal/server/dialect"
	"peal/server/httpapi"
	"peal/server/log"
	"peal/server/session"
)

// What a server hands over to the process that goes on for it: a value of gob for each part,
// and for each batch of connections.

// Rooms of parts.
const (
	roomHub           = "hub"           // hub.Part
	roomEntries       = "entries"       // log.Packed
	roomOffered       = "offered"       // nothing: all up to the head of the offer is there
	roomPaused        = "paused"        // log.Handover
	roomCaughtUp      = "caught-up"     // nothing: all is there
	roomIdempotency   = "idempotency"   // idempotency.Part
	roomBans          = "bans"          // ban.Part
	roomRevocations   = "revocations"   // revoke.Part
	roomControl       = "control"       // control.Handover
	roomSessions      = "sessions"      // sessions
	roomRests         = "rests"         // rests
	roomWebhooks      = "webhooks"      // webhook.Part
	roomPresence      = "presence"      // presence.Part
	roomSubscriptions = "subscriptions" // subscription.Part
	roomMembers       = "members"       // presence.ClusterPart
	roomCounts        = "counts"        // counts.Part
	roomNode          = "node"          // cluster.Handover

	// No parts, but batches of segments.
	roomConnections = "connections"
)

// first is what the new process must know before all parts.
type first struct {
	Log      log.Handover
	Sessions session.Handover // entries leave sessions out; the numbers come once more, behind them
	Past     past
}

// sessions are the numbers of connections.
type sessions struct {
	IDs     session.Handover
	Counter uint64
	Stayed  int   // connections that are not handed over
	Frozen  int64 // since when clients wait: the monotonic clock of the machine, in nanoseconds
}

// rests are those of the connections of a loop, which follow.
type rests struct {
	Loop     int
	Rests    [][]byte
	Exported int64 // the monotonic clock of the machine, in nanoseconds
	Life     loop.LifeState
}

// conns are some connections of a loop.
type conns struct {
	Loop  int
	Conns []loop.ConnState
	Ahead []int // 1 + the place of each one among those of the loop that were sent ahead, 0 for none; nil: of none
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func decode(data []byte, to any) error { return gob.NewDecoder(bytes.NewReader(data)).Decode(to) }

// stream is the values of one room: gob describes their types in the first one only.
type stream struct {
	buffer  bytes.Buffer
	encoder *gob.Encoder
	decoder *gob.Decoder
}

// encode returns the next value; its memory is the caller's.
func (s *stream) encode(v any) ([]byte, error) {
	if s.encoder == nil {
		s.encoder = gob.NewEncoder(&s.buffer)
	}
	s.buffer.Reset()
	if err := s.encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.Clone(s.buffer.Bytes()), nil
}

// decode reads the next value.
func (s *stream) decode(data []byte, to any) error {
	if s.decoder == nil {
		s.decoder = gob.NewDecoder(&s.buffer)
	}
	s.buffer.Write(data)
	if err := s.decoder.Decode(to); err != nil {
		return err
	}
	if s.buffer.Len() > 0 {
		return fmt.Errorf("%d bytes too many", s.buffer.Len())
	}
	return nil
}

// streams are those of all rooms.
type streams map[string]*stream

func (s streams) of(room string) *stream {
	if s[room] == nil {
		s[room] = &stream{}
	}
	return s[room]
}

// monotonic is the clock that all processes of the machine share, in nanoseconds.
func monotonic() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0 // it cannot fail on Linux
	}
	return now.Nano()
}

// carriers name what connections refer to by numbers.
type carriers struct {
	*dialect.Table
	*httpapi.Origins
}

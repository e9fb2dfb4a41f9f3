package dialect

import (
	"time"

	"peal/loop"
	"peal/loop/frame"
	"peal/loop/ring"
	"peal/server/log"
	"peal/server/publication"
	"peal/server/pusher"
	"peal/server/pusher/xhr"
	"peal/server/session"
	"peal/server/sse"
	"peal/server/talk"
	"peal/server/wsproto"
)

// Places of the rows of Standard.
const (
	WSRaw ring.Encoding = iota
	WSJSON
	SSERaw
	SSEJSON
	PollJSON
	PollRaw
	V1
	Mercure
	Pusher
	PusherCursors
	PusherXHR
	PusherReceiver
)

// Standard returns the rows of Peal's own dialects, and those of other protocols behind
// them.
func Standard() []Dialect { return append(ours(), durableRows()...) }

func ours() []Dialect {
	return []Dialect{
		WSRaw: {
			Name: "ws-raw", Framing: loop.WebSocket, Protocols: []string{"", wsproto.Raw}, Format: "raw", Publishes: true,
			Encode:    func(e *log.Entry, _ string, _ log.Cursor) []byte { return wsproto.AppendRaw(nil, e) },
			Heartbeat: wsproto.AppendHeartbeat,
			Close:     closeWebSocket,
		},
		WSJSON: {
			Name: "ws-json", Framing: loop.WebSocket, Protocols: []string{""}, Format: "json", Publishes: true, Names: true,
			Encode: func(e *log.Entry, channel string, at log.Cursor) []byte {
				return wsproto.AppendJSON(nil, e, channel, at)
			},
			Presence:  func(e *log.Entry, at log.Cursor) []byte { return wsproto.AppendPresence(nil, e, at) },
			Heartbeat: wsproto.AppendHeartbeat,
			Gap:       wsproto.AppendGap,
			Close:     closeWebSocket,
		},
		SSERaw: {
			Name: "sse-raw", Framing: loop.EventStream, Format: "raw",
			Encode:    func(e *log.Entry, _ string, at log.Cursor) []byte { return sse.AppendRaw(nil, e, at) },
			Presence:  func(e *log.Entry, at log.Cursor) []byte { return sse.AppendPresence(nil, e, at) },
			Open:      openEventStream,
			Heartbeat: sse.AppendHeartbeat,
			Gap:       sse.AppendGap,
			Expires:   sse.AppendExpires,
			Close:     closeEventStream,
		},
		SSEJSON: {
			Name: "sse-json", Framing: loop.EventStream, Format: "json", Names: true,
			Encode:    func(e *log.Entry, channel string, at log.Cursor) []byte { return sse.AppendJSON(nil, e, channel, at) },
			Presence:  func(e *log.Entry, at log.Cursor) []byte { return sse.AppendPresence(nil, e, at) },
			Open:      openEventStream,
			Heartbeat: sse.AppendHeartbeat,
			Gap:       sse.AppendGap,
			Expires:   sse.AppendExpires,
			Close:     closeEventStream,
		},
		PollJSON: {
			Name: "poll-json", Framing: loop.Held, Format: "json", Names: true,
			Encode: func(e *log.Entry, channel string, at log.Cursor) []byte {
				return publication.AppendJSON(make([]byte, 0, publication.SizeHint(e, channel)), e, channel, at)
			},
			Presence: func(e *log.Entry, at log.Cursor) []byte { return publication.AppendPresence(nil, e, at) },
			Respond:  respondJSON,
		},
		PollRaw: {
			Name: "poll-raw", Framing: loop.Held, Format: "raw", Most: 1,
			Encode:  func(e *log.Entry, _ string, _ log.Cursor) []byte { return e.Data },
			Respond: respondRaw,
		},
		V1: {
			Name: wsproto.V1, Framing: loop.WebSocket, Protocols: []string{wsproto.V1}, Format: "json", SameAs: "ws-json",
			Expires: wsproto.AppendExpires,
			Commands: &talk.Language{
				NewParser:  wsproto.NewParser,
				Connected:  wsproto.AppendConnected,
				Done:       wsproto.AppendReply,
				Subscribed: wsproto.AppendSubscribed,
				Renewed:    wsproto.AppendRenewed,
				Result:     wsproto.AppendReplyWith,
				Refused:    wsproto.AppendError,
			},
		},
		// No client of /sse can ask for it. Its heartbeat is a comment, because clients that
		// show every event to the application expect messages only.
		Mercure: {
			Name: "mercure", Framing: loop.EventStream, SameAs: "sse-raw",
			Heartbeat: func(dst []byte, _ log.Cursor) []byte { return sse.AppendComment(dst) },
		},
		Pusher:        pusherRow("pusher", false),
		PusherCursors: pusherRow("pusher-cursors", true),
		PusherXHR: { // the same as lines of an HTTP response
			Name: "pusher-xhr", Framing: loop.EventStream, Format: "json", Room: pusher.Room, Internal: true, Names: true,
			Encode: func(e *log.Entry, channel string, at log.Cursor) []byte {
				return xhr.AppendLines(nil, pusher.AppendEvent(nil, e, channel, at, false))
			},
			Presence: func(e *log.Entry, at log.Cursor) []byte {
				return xhr.AppendLines(nil, pusher.AppendPresence(nil, e, at))
			},
			Heartbeat: func(dst []byte, at log.Cursor) []byte {
				return xhr.AppendLines(dst, pusher.AppendHeartbeat(nil, at))
			},
			Gap: func(dst []byte, g ring.Gap, lineage *log.Lineage) []byte {
				return xhr.AppendLines(dst, pusher.AppendGap(nil, g, lineage))
			},
			Close: func(dst []byte, code uint16, reason string, retry time.Duration) []byte {
				return xhr.AppendLines(dst, pusher.AppendClose(nil, code, reason, retry))
			},
		},
		// What receives the lines of a pusher-xhr for its client: nothing is subscribed here.
		PusherReceiver: {
			Name: "pusher-receiver", Framing: loop.EventStream, Format: "json", Internal: true,
			Encode: func(*log.Entry, string, log.Cursor) []byte { return nil },
			Close: func(dst []byte, code uint16, reason string, retry time.Duration) []byte {
				return xhr.AppendLines(dst, pusher.AppendClose(nil, code, reason, retry))
			},
		},
	}
}

// pusherRow is a row of the Pusher protocol on WebSockets, with cursors in its events or without.
func pusherRow(name string, cursors bool) Dialect {
	return Dialect{
		Name: name, Framing: loop.WebSocket, Format: "json", Room: pusher.Room, Names: true,
		Encode: func(e *log.Entry, channel string, at log.Cursor) []byte {
			return pusher.AppendEvent(nil, e, channel, at, cursors)
		},
		Presence:  func(e *log.Entry, at log.Cursor) []byte { return pusher.AppendPresence(nil, e, at) },
		Heartbeat: pusher.AppendHeartbeat,
		Gap:       pusher.AppendGap,
		Close:     pusher.AppendClose,
	}
}

// closeWebSocket appends a close frame. It has no field for the time to reconnect: the
// reason of a close after which clients come back has it at its end.
func closeWebSocket(dst []byte, code uint16, reason string, retry time.Duration) []byte {
	comesBack := code == frame.CloseGoingAway || code == frame.CloseServiceRestart || code == frame.CloseTryAgainLater || code == frame.CloseRateLimited
	if comesBack && retry > 0 {
		return wsproto.AppendCloseRetry(dst, code, reason, retry)
	}
	return wsproto.AppendClose(dst, code, reason)
}

// openEventStream appends when to reconnect, and the position with the session id unless
// the client has the position.
func openEventStream(dst []byte, at log.Cursor, id session.ID, known bool, retry time.Duration) []byte {
	if known {
		return sse.AppendRetry(dst, retry)
	}
	return sse.AppendOpen(dst, at, id, retry)
}

// closeEventStream appends when to reconnect; an event stream can express nothing else.
func closeEventStream(dst []byte, _ uint16, _ string, retry time.Duration) []byte {
	return sse.AppendEnd(dst, retry)
}

package sse_test

import (
	"strconv"
	"strings"
)

// reader interprets an event stream by the letter of the HTML standard, section
// 9.2.6, written without a look at the encoder. It is given the whole stream.
type reader struct {
	events      []event
	lastEventID string
	retry       int

	data, eventType, idBuffer string
}

type event struct{ name, data, id string }

func (r *reader) read(stream string) {
	stream = strings.TrimPrefix(stream, "\uFEFF")
	for stream != "" {
		end := strings.IndexAny(stream, "\r\n")
		if end < 0 {
			return // an incomplete line at the end is discarded
		}
		line := stream[:end]
		if strings.HasPrefix(stream[end:], "\r\n") {
			stream = stream[end+2:]
		} else {
			stream = stream[end+1:]
		}
		switch colon := strings.IndexByte(line, ':'); {
		case line == "":
			r.dispatch()
		case colon == 0: // a comment
		case colon > 0:
			r.field(line[:colon], strings.TrimPrefix(line[colon+1:], " "))
		default:
			r.field(line, "")
		}
	}
}

func (r *reader) field(name, value string) {
	switch name {
	case "event":
		r.eventType = value
	case "data":
		r.data += value + "\n"
	case "id":
		if !strings.Contains(value, "\x00") {
			r.idBuffer = value
		}
	case "retry":
		if n, err := strconv.Atoi(value); err == nil && !strings.ContainsAny(value, "+-") {
			r.retry = n
		}
	}
}

func (r *reader) dispatch() {
	r.lastEventID = r.idBuffer
	if r.data == "" {
		r.eventType = ""
		return
	}
	name := "message"
	if r.eventType != "" {
		name = r.eventType
	}
	r.events = append(r.events, event{name, strings.TrimSuffix(r.data, "\n"), r.lastEventID})
	r.data, r.eventType = "", ""
}

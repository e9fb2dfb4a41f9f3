package chaos

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net"
)

// followStream is one event stream, read as the HTML standard says (server-sent
// events, §9.2.6), as far as a server that ends its lines in LF needs it.
func followStream(conn net.Conn, q query, e ear, format string) error {
	r := bufio.NewReader(conn)
	answer, err := get(conn, r, &q, q.path("/sse", format))
	if err != nil {
		return err
	}
	if answer.StatusCode != 200 {
		return refusal("event stream", answer.StatusCode, nil)
	}
	e.adopt(answer.Header.Get(sessionHeader))
	s := eventStream{ear: e, json: format == "json"}
	for lines := bufio.NewReaderSize(answer.Body, 2048); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			if s.retries && !s.heard {
				err = errors.Join(errComeBack, err) // as a browser does then
			}
			return err // an unfinished event is not dispatched
		}
		s.line(line[:len(line)-1])
	}
}

// eventStream is the state of one.
type eventStream struct {
	ear
	json bool

	id, event string
	data      []byte
	filled    bool // a data field came, perhaps an empty one

	retries bool // a time to come back came
	heard   bool // anything else came
}

func (s *eventStream) line(line []byte) {
	field, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(field) {
	case "id":
		s.id = string(value)
	case "event":
		s.event = string(value)
	case "data":
		if s.filled {
			s.data = append(s.data, '\n')
		}
		s.data, s.filled = append(s.data, value...), true
	case "retry":
		s.retries = true
	case "":
		if len(line) == 0 {
			s.dispatch()
		}
	default:
		s.rubbish("a line of no event stream: %.200q", line)
	}
}

// dispatch is the end of an event. One without data fires nothing, and sets the
// id all the same; peal.cursor is a position and no message.
func (s *eventStream) dispatch() {
	s.heard = s.heard || s.filled || s.id != ""
	switch {
	case !s.filled && s.id != "":
		s.position("", s.id)
	case !s.filled: // retry alone
	case s.event == "peal.cursor":
		s.position("", s.id)
	case s.event == "peal.token_expires":
	case s.event == "gap":
		var g gapNotice
		if err := json.Unmarshal(s.data, &g); err != nil {
			s.rubbish("not a gap: %.200q", s.data)
			break
		}
		s.gaps([]gapNotice{g})
		if s.id != "" {
			s.position("", s.id)
		}
	case s.json:
		hearObject(s.ear, s.data)
	default:
		s.message(s.id, "", s.data)
	}
	s.id, s.event, s.data, s.filled = "", "", s.data[:0], false
}

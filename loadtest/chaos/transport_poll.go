package chaos

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// pollJSON polls again and again on one connection.
func pollJSON(conn net.Conn, q query, e ear) error {
	return polls(conn, q, e, "json", func(_ *http.Response, body []byte) (string, error) {
		var said struct {
			Cursor   string
			Gap      []gapNotice
			Messages []json.RawMessage
		}
		if err := json.Unmarshal(body, &said); err != nil || said.Cursor == "" {
			e.rubbish("not the answer to a poll: %.200q", body)
			return "", fmt.Errorf("poll: %w", err)
		}
		e.gaps(said.Gap)
		for _, m := range said.Messages {
			hearObject(e, m)
		}
		e.position("", said.Cursor)
		return said.Cursor, nil
	})
}

// pollRaw takes one message with each answer.
func pollRaw(conn net.Conn, q query, e ear) error {
	return polls(conn, q, e, "raw", func(answer *http.Response, body []byte) (string, error) {
		cursor := answer.Header.Get("Peal-Cursor")
		if text := answer.Header.Get("Peal-Gap"); text != "" {
			var gaps []gapNotice
			if err := json.Unmarshal([]byte(text), &gaps); err != nil {
				e.rubbish("not a Peal-Gap: %.200q", text)
			}
			e.gaps(gaps)
		}
		if answer.StatusCode == http.StatusOK {
			e.message("", "", body) // the cursor may be ahead of it
		}
		e.position("", cursor)
		return cursor, nil
	})
}

// polls sends one poll after another, each with the cursor that take returned
// for the one before.
func polls(conn net.Conn, q query, e ear, format string, take func(*http.Response, []byte) (cursor string, err error)) error {
	for r := bufio.NewReader(conn); ; {
		answer, err := get(conn, r, &q, q.path("/poll", format)+"&timeout=10")
		if err != nil {
			return err
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			return err // half an answer is none: the cursor stays
		}
		if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusNoContent {
			return refusal("poll", answer.StatusCode, body)
		}
		cursor, err := take(answer, body)
		if err != nil {
			return err
		}
		if id := answer.Header.Get(sessionHeader); id != "" && q.adopts {
			e.adopt(id)
			q.session = id
		}
		q.start = "cursor=" + url.QueryEscape(cursor)
		if answer.Close {
			return nil
		}
	}
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"
)

// get requests path; the response it returns is a 200.
func (s *subscriber) get(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint(s.base, path, s.query()).String(), nil)
	if err != nil {
		return nil, finalError{err}
	}
	maps.Copy(request.Header, s.header)
	response, err := s.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		return nil, refused(response)
	}
	s.answered = true
	return response, nil
}

// pollTimeout is longer than a server holds a poll, which is 25 s by default.
const pollTimeout = time.Minute

// poll polls until a poll fails.
func (s *subscriber) poll(ctx context.Context) error {
	for {
		if err := s.pollOnce(ctx); err != nil {
			return err
		}
	}
}

func (s *subscriber) pollOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	response, err := s.get(ctx, "poll")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var body struct {
		Cursor   string
		Gap      []gap
		Messages []json.RawMessage
	}
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		return fmt.Errorf("read the response: %w", err)
	}
	if body.Cursor == "" {
		return finalError{notPeal(s.base)}
	}
	for _, g := range body.Gap {
		s.gap(g)
	}
	for _, m := range body.Messages {
		if err := s.message(m); err != nil {
			return err
		}
	}
	s.at(body.Cursor)
	return nil
}

// eventStream reads one event stream by the HTML standard, section 9.2.6, as far
// as Peal uses it: lines end in LF, and JSON data is one line.
func (s *subscriber) eventStream(ctx context.Context) error {
	response, err := s.get(ctx, "sse")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if kind := response.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
		return finalError{fmt.Errorf("%s responds with %q, not with an event stream: check --url or %s", s.base, kind, urlVariable)}
	}
	var id, event string
	var data []byte
	for lines := bufio.NewReader(response.Body); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return errors.New("the stream ended")
		}
		line = bytes.TrimRight(line, "\r\n")
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "id":
			id = string(value)
		case "event":
			event = string(value)
		case "data":
			data = bytes.Clone(value)
		case "":
			if len(line) > 0 {
				continue // a comment
			}
			if err := s.event(event, data); err != nil {
				return err
			}
			s.at(id)
			id, event, data = "", "", nil
		}
	}
}

// event handles one event of a stream; one without data does nothing. Names that
// begin with peal. are the server's: peal.cursor gives a position, which is also its id.
func (s *subscriber) event(name string, data []byte) error {
	if data == nil || strings.HasPrefix(name, "peal.") {
		return nil
	}
	if name != "gap" { // a name that publishers cannot use
		return s.message(data)
	}
	var g gap
	if err := json.Unmarshal(data, &g); err != nil {
		return fmt.Errorf("read a gap: %w", err)
	}
	s.gap(g)
	return nil
}

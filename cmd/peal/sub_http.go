package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// get asks for path; the answer is a 200.
func (s *subscriber) get(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint(s.base, path, s.query()).String(), nil)
	if err != nil {
		return nil, finalError{err}
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		return nil, refused(answer)
	}
	s.answered = true
	return answer, nil
}

// pollTimeout is more than a server holds a poll: 25 s unless asked for more.
const pollTimeout = time.Minute

// poll is polls until one fails.
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
	answer, err := s.get(ctx, "poll")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var said struct {
		Cursor   string
		Gap      []gap
		Messages []json.RawMessage
	}
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if said.Cursor == "" {
		return finalError{fmt.Errorf("%s does not answer as Peal does: is the URL right?", s.base)}
	}
	for _, g := range said.Gap {
		s.gap(g)
	}
	for _, m := range said.Messages {
		if err := s.message(m); err != nil {
			return err
		}
	}
	s.at(said.Cursor)
	return nil
}

// eventStream is one event stream, read by the HTML standard, section 9.2.6, as
// far as Peal uses it: lines end in LF, and JSON data is one line.
func (s *subscriber) eventStream(ctx context.Context) error {
	answer, err := s.get(ctx, "sse")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if kind := answer.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
		return finalError{fmt.Errorf("%s answers with %q, not with an event stream: is the URL right?", s.base, kind)}
	}
	var id, event string
	var data []byte
	for lines := bufio.NewReader(answer.Body); ; {
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

// event is what one event of a stream says; without data, nothing. peal.cursor
// is a position, which its id says too.
func (s *subscriber) event(name string, data []byte) error {
	if data == nil || name == "peal.cursor" {
		return nil
	}
	if name != "gap" { // which nobody can publish
		return s.message(data)
	}
	var g gap
	if err := json.Unmarshal(data, &g); err != nil {
		return fmt.Errorf("read a gap: %w", err)
	}
	s.gap(g)
	return nil
}

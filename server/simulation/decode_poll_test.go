package simulation_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// pollDecoder has net/http read the answers to polls.
type pollDecoder struct{ json bool }

func (d *pollDecoder) next(b []byte) (it item, n int, err error) {
	response, body, n, err := readResponse(b)
	if err != nil || n == 0 {
		return item{}, 0, err
	}
	if d.json {
		it, err = jsonAnswer(response, body)
	} else {
		it, err = rawAnswer(response, body)
	}
	it.closes, it.session = response.Close, response.Header.Get("Peal-Session")
	return it, n, err
}

// publishDecoder reads the response to a publication.
type publishDecoder struct{}

func (publishDecoder) next(b []byte) (it item, n int, err error) {
	response, body, n, err := readResponse(b)
	if err != nil || n == 0 {
		return item{}, 0, err
	}
	var a struct{ Cursor string }
	if err := json.Unmarshal(body, &a); err != nil || response.StatusCode != http.StatusOK {
		return item{}, 0, fmt.Errorf("%s: %q: %w", response.Status, body, err)
	}
	return item{kind: itemPublished, cursor: a.Cursor, closes: response.Close}, n, nil
}

// errorCode reads the body of a response with an error.
func errorCode(body []byte) (string, error) {
	var e struct{ Error struct{ Code string } }
	if err := json.Unmarshal(body, &e); err != nil || e.Error.Code == "" {
		return "", fmt.Errorf("no error code in %q: %w", body, err)
	}
	return e.Error.Code, nil
}

// readResponse reads the response that b begins with, n bytes long; n == 0
// means that it is not whole yet.
func readResponse(b []byte) (response *http.Response, body []byte, n int, err error) {
	if !bytes.Contains(b, []byte("\r\n\r\n")) {
		return nil, nil, 0, nil
	}
	source := bytes.NewReader(b)
	r := bufio.NewReaderSize(source, len(b))
	response, err = http.ReadResponse(r, nil)
	if err == nil {
		body, err = io.ReadAll(response.Body)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil, 0, nil
	}
	if err == nil {
		body, err = unzipped(body, response.Header.Get("Content-Encoding"))
	}
	return response, body, len(b) - source.Len() - r.Buffered(), err
}

func jsonAnswer(response *http.Response, body []byte) (item, error) {
	var a struct {
		Cursor   string
		Gap      []wireGap
		Messages []publicationJSON
	}
	if response.StatusCode != http.StatusOK {
		return item{}, fmt.Errorf("%s: %s", response.Status, body)
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return item{}, fmt.Errorf("%w: %q", err, body)
	}
	it := item{kind: itemAnswer, cursor: a.Cursor, gaps: a.Gap}
	for i := range a.Messages {
		m, err := a.Messages[i].message()
		if err != nil {
			return item{}, err
		}
		it.answer = append(it.answer, m)
	}
	return it, nil
}

func rawAnswer(response *http.Response, body []byte) (item, error) {
	it := item{kind: itemAnswer, cursor: response.Header.Get("Peal-Cursor")}
	switch response.StatusCode {
	case http.StatusOK:
		event, err := url.PathUnescape(response.Header.Get("Peal-Event"))
		if err != nil {
			return item{}, fmt.Errorf("Peal-Event: %w", err)
		}
		it.answer = []wireMessage{{event: event, data: body}}
	case http.StatusNoContent:
	default:
		return item{}, fmt.Errorf("%s: %s", response.Status, body)
	}
	if g := response.Header.Get("Peal-Gap"); g != "" {
		if err := json.Unmarshal([]byte(g), &it.gaps); err != nil {
			return item{}, fmt.Errorf("Peal-Gap: %w: %q", err, g)
		}
	}
	return it, nil
}

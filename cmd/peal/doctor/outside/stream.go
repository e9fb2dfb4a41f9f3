package outside

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"peal/cmd/peal/doctor"
)

// event is one of an event stream, or its end.
type event struct {
	name, data string
	end        error
}

// stream is an event stream that is being read.
type stream struct {
	status   int
	header   http.Header
	proto    string
	body     string // if it is no event stream
	events   chan event
	encoding string
	system   byte // of the header of gzip; before the first event
}

// follow opens an event stream as a browser does; the events end with ctx. While there
// is no head within the patience, the error says so.
func (e *examination) follow(ctx context.Context, header http.Header) (*stream, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.place("sse", url.Values{"channel": {e.Channel}}).String(), nil)
	if err != nil {
		return nil, err
	}
	maps.Copy(request.Header, e.Header)
	request.Header.Set("Accept", "text/event-stream")
	request.Header.Set("Accept-Encoding", "gzip")
	maps.Copy(request.Header, header)
	began := time.Now()
	r, err := e.browser.Do(request)
	if err != nil {
		return nil, read(nil, err, began).err
	}
	s := &stream{status: r.StatusCode, header: r.Header, proto: r.Proto, encoding: r.Header.Get("Content-Encoding"), events: make(chan event, 64)}
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/event-stream") || r.StatusCode != http.StatusOK {
		a := read(r, nil, began)
		s.body = a.String()
		return s, nil
	}
	go s.read(ctx, r.Body) // ends with the stream or ctx
	return s, nil
}

// read passes events on until the stream ends.
func (s *stream) read(ctx context.Context, body io.ReadCloser) {
	defer body.Close()
	defer close(s.events)
	in := io.Reader(body)
	send := func(e event) bool {
		select {
		case s.events <- e:
			return true
		case <-ctx.Done():
			return false
		}
	}
	if s.encoding == "gzip" {
		plain, err := gzip.NewReader(body)
		if err != nil {
			send(event{end: err})
			return
		}
		in, s.system = plain, plain.OS
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, mostBody)
	var e event
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch key {
		case "event":
			e.name = value
		case "data":
			e.data = strings.TrimPrefix(e.data+"\n"+value, "\n")
		case "":
			if e != (event{}) && !send(e) {
				return
			}
			e = event{}
		}
	}
	err := lines.Err()
	if err == nil {
		err = io.EOF
	}
	send(event{end: err})
}

// errLate is a wait that was too long.
var errLate = errors.New("nothing arrived")

// await returns the next event that is one of those.
func (s *stream) await(ctx context.Context, wait time.Duration, wanted func(event) bool) (event, error) {
	late := time.NewTimer(wait)
	defer late.Stop()
	for {
		select {
		case v, ok := <-s.events:
			switch {
			case !ok:
				return event{}, io.EOF
			case v.end != nil:
				return event{}, v.end
			case wanted(v):
				return v, nil
			}
		case <-late.C:
			return event{}, errLate
		case <-ctx.Done():
			return event{}, ctx.Err()
		}
	}
}

// followSoon is follow with a limit for the head.
func (e *examination) followSoon(ctx context.Context, header http.Header) (s *stream, end context.CancelFunc, err error) {
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(e.Patience, cancel)
	s, err = e.follow(ctx, header)
	if !timer.Stop() && err != nil {
		err = errLate
	}
	return s, cancel, err
}

// eventStream checks that an event stream arrives as it is sent.
func (e *examination) eventStream(ctx context.Context) {
	const check = "event-stream"
	if !e.reader {
		e.skip(check, "%s", e.denied)
		return
	}
	s, end, err := e.followSoon(ctx, nil)
	defer end()
	const why = "subscribers see nothing, or events in bursts"
	switch {
	case errors.Is(err, errLate):
		e.fault(check, fmt.Sprintf("the response did not begin within %s: it is held back until it is complete or a buffer is full", e.Patience), why, buffered)
		return
	case err != nil:
		e.fault(check, err.Error(), why, buffered)
		return
	case s.body != "":
		e.add(doctor.Fail(check, fmt.Sprintf("GET /sse gets %s, Content-Type %q", s.body, s.header.Get("Content-Type")), "an EventSource gives up for good", "let the proxy pass the response of Peal unchanged: 200, text/event-stream"))
		return
	}
	if _, err := s.await(ctx, e.Patience, func(v event) bool { return v.name == "peal.cursor" }); err != nil {
		value := fmt.Sprintf("the head arrives, the first event does not within %s", e.Patience)
		if !errors.Is(err, errLate) {
			value = "the stream ends before its first event: " + err.Error()
		}
		e.held(check, s, value)
		return
	}
	e.streams = true
	if e.publish == nil {
		e.fine(check, "begins at once (%s); delivery is not checked: %s", s.proto, e.cannot)
		e.compression(s)
		return
	}
	for _, size := range []int{0, e.size()} {
		began := time.Now()
		text, err := e.say(ctx, check, size)
		if err != nil {
			e.add(unpublished(check, err))
			return
		}
		if _, err := s.await(ctx, e.Patience, func(v event) bool { return v.data == text }); err != nil {
			e.held(check, s, fmt.Sprintf("an event of %d B does not arrive within %s: %v", len(text), e.Patience, err))
			return
		}
		if size > 0 {
			e.fine(check, "events arrive at once, %d KiB in %s from the request to publish (%s)", size>>10, time.Since(began).Round(10*time.Microsecond), s.proto)
		}
	}
	e.compression(s)
}

// held is a stream whose events stay somewhere.
func (e *examination) held(check string, s *stream, value string) {
	const why = "subscribers see nothing, or events in bursts"
	if s.encoding != "" {
		e.fault(check, value+"; the response is compressed ("+s.encoding+")", why, compressed)
		return
	}
	e.fault(check, value, why, buffered)
}

// gzipUnix is the system (RFC 1952 §2.3.1) that zlib writes, which nginx, HAProxy and
// Apache use. Peal writes that it is unknown.
const gzipUnix = 3

// compression reports that a proxy compresses the stream.
func (e *examination) compression(s *stream) {
	const check = "event-stream-compression"
	switch {
	case s.encoding == "gzip" && s.system == gzipUnix, s.encoding != "" && s.encoding != "gzip":
		e.cost(check, "the proxy compresses ("+s.encoding+"), and events arrive at once", "it needs some 250 KiB of memory for each connection, and may hold events back under load; Peal compresses a message once for all (deflate)", compressed)
	case s.encoding != "":
		e.fine(check, "gzip of Peal, and events arrive at once")
	}
}

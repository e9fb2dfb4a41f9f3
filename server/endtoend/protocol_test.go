package endtoend_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"
)

// TestProtocolDocument plays the sessions of docs/protocol.md against a server.
func TestProtocolDocument(t *testing.T) {
	b, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	p := start(t)
	sessions := 0
	lines := strings.Split(string(b), "\n")
	for at := 0; at < len(lines); at++ {
		if lines[at] != "```session" {
			continue
		}
		end := at + 1
		for lines[end] != "```" {
			end++
		}
		sessions++
		t.Run(fmt.Sprint("line ", at+1), func(t *testing.T) {
			s := &session{t: t, p: p, known: map[string]string{}, open: map[string]peer{}, line: at + 1}
			s.play(lines[at+1 : end])
		})
		at = end
	}
	if sessions < 8 {
		t.Errorf("only %d sessions found", sessions)
	}
}

// The test of the test: what does not happen as the document says is noticed.
func TestProtocolSessionsCanFail(t *testing.T) {
	for expected, got := range map[string]string{
		`{"cursor":"{c}"}`:  `{"cursor":"a-2"}`, // c is a-1
		`{"a":…}`:           `{"b":1}`,
		`{"a":1}`:           `{"a":12}`,
		`{"x":"{n}","{n}"}`: `{"x":"1","2"}`,
	} {
		s := &session{known: map[string]string{"c": "a-1"}}
		if s.matches(expected, got) {
			t.Errorf("%s is taken for %s", got, expected)
		}
	}
	s := &session{known: map[string]string{}}
	if !s.matches(`{"x":"{n}","t":…,"y":"{n}"}`, `{"x":"1","t":5,"y":"1"}`) || s.known["n"] != "1" {
		t.Errorf("a good answer is not taken; known %v", s.known)
	}
}

// session is one box: peers that were opened, and the texts that its names stand for.
type session struct {
	t     *testing.T
	p     *peal
	known map[string]string
	open  map[string]peer
	line  int
}

// peer is the other side of a box: it receives and sends its lines.
type peer interface {
	say(string)
	hear() string
}

func (s *session) play(lines []string) {
	var now peer
	for i, line := range lines {
		s.line++
		text := line[min(2, len(line)):]
		switch {
		case strings.HasPrefix(line, "$ on "):
			now = s.open[line[5:]]
			if now == nil {
				s.t.Fatalf("line %d: %s was not opened", s.line, line[5:])
			}
		case strings.HasPrefix(line, "$ "):
			now = s.begin(strings.Fields(s.fill(text)), text)
			if r, ok := now.(*exchange); ok && (i+1 == len(lines) || !strings.HasPrefix(lines[i+1], "> ")) {
				r.say("")
			}
		case strings.HasPrefix(line, "> "):
			now.say(s.fill(text))
		case strings.HasPrefix(line, "< "):
			if got := now.hear(); !s.matches(text, got) {
				s.t.Fatalf("line %d:\nthe document says %s\nthe server says   %s", s.line, s.fill(text), got)
			}
		default:
			s.t.Fatalf("line %d: neither $ nor > nor <: %q", s.line, line)
		}
	}
}

// begin opens what a $ line names.
func (s *session) begin(words []string, text string) peer {
	var made peer
	switch words[0] {
	case "WS":
		var header http.Header
		if len(words) == 3 {
			header = http.Header{"Sec-Websocket-Protocol": {words[2]}}
		}
		socket := s.p.dialSocket(words[1], header)
		made = &spokenSocket{socket}
	case "SSE":
		response, err := http.Get(s.p.url + words[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = response.Body.Close() }) // it ends the stream
		made = &spokenStream{s.t, bufio.NewReader(response.Body)}
		s.open["SSE"] = made
	default:
		made = &exchange{s: s, method: words[0], path: words[1]}
	}
	s.open[text] = made
	return made
}

var placeholder = regexp.MustCompile(`\{[a-z0-9]+\}`)

// fill puts the texts that are known for their names.
func (s *session) fill(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(name string) string {
		if v, ok := s.known[name[1:len(name)-1]]; ok {
			return v
		}
		return name
	})
}

// matches compares what came with what the document says, and learns names.
func (s *session) matches(want, got string) bool {
	pattern := regexp.QuoteMeta(s.fill(want))
	pattern = strings.ReplaceAll(pattern, "…", `.*?`)
	var names []string
	pattern = regexp.MustCompile(`\\\{[a-z0-9]+\\\}`).ReplaceAllStringFunc(pattern, func(quoted string) string {
		names = append(names, strings.Trim(quoted, `\{}`))
		return `([^"\s]*)`
	})
	found := regexp.MustCompile("^(?s:" + pattern + ")$").FindStringSubmatch(got)
	if found == nil {
		return false
	}
	for i, n := range names {
		if first := slices.Index(names, n); found[first+1] != found[i+1] {
			return false
		}
		s.known[n] = found[i+1]
	}
	return true
}

type spokenSocket struct{ s *socket }

func (k *spokenSocket) say(text string) { k.s.send(false, text) }

// hear returns the next message, or how the connection was closed.
func (k *spokenSocket) hear() string {
	var closed *gws.CloseError
	select {
	case f := <-k.s.got:
		return f.data
	case <-k.s.ended:
		if len(k.s.got) == 0 && errors.As(k.s.err, &closed) {
			return fmt.Sprintf("close %d %s", closed.Code, closed.Reason)
		}
	case <-time.After(patience):
	}
	return k.s.next().data
}

type spokenStream struct {
	t *testing.T
	r *bufio.Reader
}

func (k *spokenStream) say(text string) { k.t.Fatalf("an event stream is not spoken to: %q", text) }
func (k *spokenStream) hear() string {
	line, err := k.r.ReadString('\n')
	if err == io.EOF && line == "" {
		return "end"
	}
	if err != nil {
		k.t.Fatal(err)
	}
	return strings.TrimSuffix(line, "\n")
}

// exchange is one request and its answer: the status and the body.
type exchange struct {
	s            *session
	method, path string
	answer       string
}

func (x *exchange) say(body string) {
	x.s.t.Helper()
	request, err := http.NewRequest(x.method, x.s.p.url+x.path, strings.NewReader(body))
	if err != nil {
		x.s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "text/plain")
	response, err := x.s.p.client.Do(request)
	if err != nil {
		x.s.t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		x.s.t.Fatal(err)
	}
	x.answer = fmt.Sprintf("%d %s", response.StatusCode, b)
}

func (x *exchange) hear() string { return x.answer }

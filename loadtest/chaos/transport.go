package chaos

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// transport is one way to follow channels. follow uses conn, which is fresh,
// tells the ear everything it hears, and returns when the connection is over,
// for any reason, or the ear needs no more; the caller closes conn.
//
// A further one is a file with a follow and a line here.
type transport struct {
	name string
	// separate: each channel has a cursor of its own, and messages of several
	// are in one order only when all have caught up.
	separate bool
	follow   func(conn net.Conn, q query, e ear) error
}

var transports = []transport{
	{name: "ws json", follow: followWebSocket},
	{name: "peal.v1", follow: followProtocol, separate: true},
	{name: "sse", follow: func(conn net.Conn, q query, e ear) error { return followStream(conn, q, e, "raw") }},
	{name: "sse json", follow: func(conn net.Conn, q query, e ear) error { return followStream(conn, q, e, "json") }},
	{name: "poll", follow: pollJSON},
	{name: "poll raw", follow: pollRaw},
}

// choose returns the transports of these names, nil for all.
func choose(names []string) (chosen []transport, err error) {
	if names == nil {
		return transports, nil
	}
	for _, name := range names {
		i := slices.IndexFunc(transports, func(t transport) bool { return t.name == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown transport %q", name)
		}
		chosen = append(chosen, transports[i])
	}
	return chosen, nil
}

// ear takes what a connection says, in its order.
type ear interface {
	// message takes a message with its cursor. Both cursor and channel are
	// empty where the transport does not say them.
	message(cursor, channel string, data []byte)
	gaps(list []gapNotice)
	// position takes a cursor without a message, of all channels or, where
	// they are separate, perhaps of one.
	position(channel, cursor string)
	// adopt takes the id of the client's session.
	adopt(session string)
	// rubbish takes what no server may say.
	rubbish(format string, args ...any)
}

// errComeBack: the server says that its client is to come back, later or elsewhere.
var errComeBack = errors.New("come back")

// refusal is the error of a response without success.
func refusal(what string, status int, body []byte) error {
	err := fmt.Errorf("%s: status %d: %.200s", what, status, body)
	if status == http.StatusServiceUnavailable {
		err = errors.Join(errComeBack, err)
	}
	return err
}

// query is what is asked for.
type query struct {
	addr     string
	proof    string // token; empty for none
	channels []string
	renewal  renewal  // nil: the connection ends with its token
	start    string   // "cursor=…", "last=…" or empty: from now
	cursors  []string // of separate channels: where each begins; empty: from now
	name     string   // of the client; "" for none, or that of its token
	session  string   // that it presents; "" for none
	adopts   bool     // further polls present the id that the first one receives
}

// identify adds who the client is to the path of a request.
func (q *query) identify(path string) string {
	who := url.Values{}
	if q.name != "" {
		who.Set("client", q.name)
	}
	if q.session != "" {
		who.Set("session", q.session)
	}
	switch {
	case len(who) == 0:
		return path
	case strings.Contains(path, "?"):
		return path + "&" + who.Encode()
	}
	return path + "?" + who.Encode()
}

// sessionHeader has the id of the client's session in a response.
const sessionHeader = "Peal-Session"

// renewal is how a connection gets further tokens while it lasts. Its methods are called
// on the goroutine that follows.
type renewal interface {
	// next returns a new token, and when it is to be sent.
	next() (text string, at time.Time)
	// renewed takes the response: from now on that token counts, which does not grant
	// these channels.
	renewed(unsubscribed []string)
}

// path returns the path of a request in the given format.
func (q *query) path(endpoint, format string) string {
	p := endpoint + "?format=" + format
	for _, c := range q.channels {
		p += "&channel=" + url.QueryEscape(c)
	}
	if q.start != "" {
		p += "&" + q.start
	}
	return q.identify(p)
}

// gapNotice is one gap, as all transports write it.
type gapNotice struct{ Channel, From, To, Reason string }

// object is one message, as all transports write it in JSON.
type object struct {
	Channel, Cursor string
	Data            *string
}

// hearObject takes a message's JSON.
func hearObject(e ear, text []byte) {
	var o object
	if err := json.Unmarshal(text, &o); err != nil || o.Data == nil {
		e.rubbish("not a message: %.200q", text)
		return
	}
	e.message(o.Cursor, o.Channel, []byte(*o.Data))
}

// get sends one GET and returns the answer, whose body the caller reads to its
// end before the next one.
func get(conn net.Conn, r *bufio.Reader, q *query, path string) (*http.Response, error) {
	proof := ""
	if q.proof != "" {
		proof = "Authorization: Bearer " + q.proof + "\r\n"
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", path, q.addr, proof); err != nil {
		return nil, err
	}
	return http.ReadResponse(r, nil)
}

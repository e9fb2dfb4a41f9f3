package outside

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"peal/cmd/peal/doctor"
)

// large is a message near the limit that servers have without a setting.
const large = 60 << 10

// size is what the largest message has that the visitor sends.
func (e *examination) size() int {
	if e.limit > 0 {
		return min(large, e.limit-e.limit/10)
	}
	return large
}

// upload is how long a large body may take, on a slow line.
const upload = 30 * time.Second

// closed are what proxies respond with that keep a path to themselves, and late what
// they respond with if a request takes long.
var (
	closed = []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed}
	late   = []int{http.StatusRequestTimeout, http.StatusBadGateway, http.StatusGatewayTimeout}
)

// undecided reports whether a response, or none, says nothing about the size of a body. A
// connection that is closed during an upload does.
func undecided(r response) bool {
	var timeout interface{ Timeout() bool }
	if errors.As(r.err, &timeout) {
		return timeout.Timeout()
	}
	return slices.Contains(late, r.status)
}

// send posts a body of that size. A proxy that refuses it by its length can say so
// before it comes.
func (e *examination) send(ctx context.Context, path string, query url.Values, kind string, size int) response {
	return e.ask(ctx, upload, http.MethodPost, path, query, strings.Repeat(" ", size), http.Header{"Content-Type": {kind}, "Expect": {"100-continue"}})
}

// largeBody sends bodies that are as large as a message and a batch may be. Neither is
// one: Peal refuses them when it has read them.
func (e *examination) largeBody(ctx context.Context) {
	const check, batch = "request-body", 1_000_000
	message := e.send(ctx, "publish", url.Values{"channel": {""}}, "text/plain", large)
	if message.ofPeal() {
		several := e.send(ctx, "publish/batch", nil, "application/json", batch)
		switch {
		case several.ofPeal():
			e.fine(check, "%d kB pass", batch/1000)
		case undecided(several) || slices.Contains(closed, several.status):
			e.fine(check, "%d KiB pass; for a body of %d kB there is %s", large>>10, batch/1000, several)
		default:
			e.cost(check, fmt.Sprintf("%d KiB pass; a body of %d kB gets %s", large>>10, batch/1000, several), "batches have up to 1 MiB (batch-bytes)", smallBody)
		}
		return
	}
	switch {
	case undecided(message):
		e.skip(check, "a body of %d KiB gets %s", large>>10, message)
	case slices.Contains(closed, message.status):
		e.skip(check, "the proxy keeps /publish to itself (%s), as the configurations in docs/proxies do", message)
	default:
		e.fault(check, fmt.Sprintf("a body of %d KiB gets %s", large>>10, message), "messages have up to 64 KiB (message-bytes)", smallBody)
	}
}

// choosePublisher finds a way to publish on the channel: over HTTP or by a command on a
// WebSocket.
func (e *examination) choosePublisher(ctx context.Context) {
	const check = "publish"
	const first = "peal doctor: a message to see whether messages can be published"
	err := e.post(ctx, first)
	if err == nil {
		e.publish = e.post
		e.fine(check, "POST /publish is accepted on %s", e.Channel)
		return
	}
	if socketErr := e.command(ctx, first); socketErr == nil {
		e.publish = e.command
		e.fine(check, "accepted on a WebSocket with peal.v1 on %s", e.Channel)
		return
	}
	e.cannot = fmt.Sprintf("cannot publish on %s (%v): give a key that allows it with --key-file, or a token that grants publish, and with --publish-url the address that your backend uses", e.Channel, err)
	e.skip(check, "%s", e.cannot)
}

// post publishes by POST /publish.
func (e *examination) post(ctx context.Context, data string) error {
	base, header := e.URL, e.Header
	client := e.plain
	if e.Publish != nil {
		base = e.Publish
		client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	}
	if e.PublishHeader != nil {
		header = e.PublishHeader
	}
	ctx, cancel := context.WithTimeout(ctx, e.Patience)
	defer cancel()
	u := base.JoinPath("publish")
	u.RawQuery = url.Values{"channel": {e.Channel}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(data))
	if err != nil {
		return err
	}
	maps.Copy(request.Header, header)
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	repeatable(request)
	began := time.Now()
	r, err := client.Do(request)
	if a := read(r, err, began); a.err != nil || a.status != http.StatusOK {
		return fmt.Errorf("POST /publish: %s", a)
	}
	return nil
}

// command publishes by a command of peal.v1.
func (e *examination) command(ctx context.Context, data string) error {
	s, _, err := e.open(ctx, "peal.v1", nil)
	if err != nil {
		return err
	}
	defer s.end()
	text, err := json.Marshal(map[string]any{"id": 1, "command": "publish", "channel": e.Channel, "data": data})
	if err != nil {
		return err
	}
	reply, err := s.request(ctx, e.Patience, string(text))
	if err == nil && !strings.Contains(reply, `"ok":true`) {
		err = fmt.Errorf("the command is refused: %s", reply)
	}
	return err
}

// say publishes a text that nobody else has.
func (e *examination) say(ctx context.Context, label string, size int) (text string, err error) {
	text = fmt.Sprintf("peal doctor: %s, %d ", label, time.Now().UnixNano())
	text += strings.Repeat("x", max(0, size-len(text)))
	return text, e.publish(ctx, text)
}

// unpublished is the finding about a message that could not be published.
func unpublished(check string, err error) doctor.Finding {
	return doctor.Skip(check, "could not publish any more: %v", err)
}

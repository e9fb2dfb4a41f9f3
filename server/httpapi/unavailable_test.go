package httpapi_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/server/httpapi"
	"peal/server/idempotency"
	"peal/server/log"
)

// sharedLog is a log that other nodes append to, too.
type sharedLog struct {
	*fakeLog
	log.Distributed // nil: what is not below is not called
	refusal         error
	ahead           []log.Cursor
}

func (l *sharedLog) Lineage() *log.Lineage               { return l.fakeLog.Lineage() }
func (l *sharedLog) Resolve(c log.Cursor) (uint64, bool) { return l.fakeLog.Resolve(c) }
func (l *sharedLog) Ahead(c log.Cursor) bool             { return slices.Contains(l.ahead, c) }
func (l *sharedLog) Append(batch []*log.Entry, done func(error)) error {
	if l.refusal != nil {
		return l.refusal
	}
	return l.fakeLog.Append(batch, done)
}

// newShared returns a harness with a log that other nodes append to, too.
func newShared(t *testing.T) (*harness, *sharedLog) {
	h := newHarness(t)
	l := &sharedLog{fakeLog: h.log}
	h.front = httpapi.New(httpapi.Deps{Log: l, Hub: h.hub, Door: h.door, Workers: h.workers, Sessions: ids,
		Keys: idempotency.New(time.Minute, 100, 100, time.Now)})
	return h, l
}

// Each transport says that the log cannot be reached, and whether the message may have
// been published: nothing was sent where Append says no.
func TestALogThatCannotBeReached(t *testing.T) {
	const nothing, perhaps = "the message was not published", "may or may not be published"
	for _, at := range []string{"append", "done", "later"} {
		h, l := newShared(t)
		want := perhaps
		switch at {
		case "append":
			want, l.refusal = nothing, fmt.Errorf("%w: connection refused", log.ErrUnavailable)
		default:
			h.log.lose, h.log.reason, h.log.slow = true, log.ErrUnavailable, at == "later"
		}
		answer := func(in string) (int, string, string) {
			t.Helper()
			c := h.call(in)
			for c.Verdict == loop.Later && c.Out == nil { // a batch is appended by a worker
				h.log.release()
				select {
				case c.Out = <-h.door.answers:
				case <-time.After(time.Millisecond):
				}
			}
			resp, body := readAnswer(t, in, c.Out)
			return resp.StatusCode, resp.Header.Get("Retry-After"), body
		}
		if status, retry, body := answer(post("/publish", "x")); status != 503 || retry != "1" || !strings.Contains(body, `"log_unavailable"`) || !strings.Contains(body, want) {
			t.Errorf("%s: %d, Retry-After %q, %s", at, status, retry, body)
		}
		if _, _, body := answer(post("/publish/batch", `{"messages":[{"channel":"a","data":"x"},{"channel":"b","data":"y"}]}`, "Content-Type: application/json\r\n")); strings.Count(body, `"log_unavailable"`) != 2 || strings.Count(body, want) != 2 {
			t.Errorf("%s: batch: %s", at, body)
		}
		client := &fakeClient{commands: true}
		h.front.Message(client, false, []byte(`{"id":3,"command":"publish","channel":"a","data":"y"}`))
		if h.log.release(); len(client.written) == 0 {
			client.written = h.door.wait(t)
		}
		if got := frames(t, client.written); len(got) != 1 || !strings.Contains(got[0], `{"id":3,"error":{"code":"log_unavailable"`) || !strings.Contains(got[0], want) {
			t.Errorf("%s: peal.v1: %q", at, got)
		}
		raw := &fakeClient{publishTo: "a"}
		code, reason := h.front.Message(raw, false, []byte("hi"))
		if at != "append" {
			if h.log.release(); code != 0 {
				t.Fatalf("%s: raw: closed with %d before the log has answered", at, code)
			}
			select {
			case do := <-h.door.do:
				do(raw)
				code, reason = raw.closed, want
			default:
			}
		}
		if code != 1013 || !strings.Contains(reason, want) {
			t.Errorf("%s: raw: closed with %d %q", at, code, reason)
		}
	}
}

// A log on a disk reports its faults to its operator; raw publishers are not disconnected.
func TestARawPublisherIsNotToldOfAFailingDisk(t *testing.T) {
	h := newHarness(t)
	h.log.lose = true
	if code, _ := h.front.Message(&fakeClient{publishTo: "a"}, false, []byte("hi")); code != 0 || len(h.door.do) != 0 {
		t.Errorf("code %d, %d calls", code, len(h.door.do))
	}
}

// An idempotency key that another node has used for another message is the same error as
// one that this node has seen, and the key is free here for the message of the other.
func TestAConflictThatTheLogFinds(t *testing.T) {
	h, _ := newShared(t)
	h.log.lose, h.log.reason = true, log.ErrConflict
	key := "Idempotency-Key: k\r\n"
	if resp, body := h.answer(post("/publish", "x", key)); resp.StatusCode != 422 || !strings.Contains(body, `"idempotency_conflict"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	h.log.lose = false
	if resp, body := h.answer(post("/publish", "y", key)); resp.StatusCode != 200 {
		t.Errorf("the other message: %d %s", resp.StatusCode, body)
	}
}

// An order that other nodes may not know of is not confirmed: its sender repeats it.
func TestAnOrderThatTheLogCannotTake(t *testing.T) {
	g := newGatekeeper(t, httpapi.Limits{})
	g.failure = fmt.Errorf("%w: timeout", log.ErrUnavailable)
	resp, body := g.answer(post("/disconnect?client=ann", ""))
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" || !strings.Contains(body, `"log_unavailable"`) || !strings.Contains(body, "holds on this node") {
		t.Errorf("disconnect: %d %s", resp.StatusCode, body)
	}
	if !g.bans.Has([]byte("ann")) {
		t.Error("the order has no effect on its node")
	}
	r := newRevoker(t)
	r.failure = errors.Join(log.ErrUnavailable)
	r.ask(post("/revoke?sub=42", "", withKey))
	if got := string(r.door.wait(t)); !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, `"log_unavailable"`) {
		t.Error(got)
	}
	if got := r.refused(); got != "42.old" {
		t.Errorf("refused %q", got)
	}
}

// A log that cannot be written is a disk, or a store that several nodes share.
func TestWhatIsFullHasItsName(t *testing.T) {
	shared, _ := newShared(t)
	for what, c := range map[string]struct {
		h    *harness
		want string
	}{"file": {newHarness(t), "the disk of the log is full"}, "shared": {shared, "the store of the log refuses messages"}} {
		for _, late := range []bool{false, true} {
			c.h.log.broken, c.h.log.lose, c.h.log.reason = !late, late, log.ErrStorage
			resp, body := c.h.answer(post("/publish", "x"))
			if resp.StatusCode != 503 || !strings.Contains(body, `"log_full"`) || !strings.Contains(body, c.want) {
				t.Errorf("%s, late %v: %d %s, want %s", what, late, resp.StatusCode, body, c.want)
			}
		}
	}
}

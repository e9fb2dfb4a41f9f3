package endtoend_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"peal/server"
	"peal/server/admin"
)

// Many questions at a time, and large ones, get their answers, or an error that says what to change.
func TestTraceWithManyQuestions(t *testing.T) {
	p := startWith(t, func(c *server.Config) {
		c.Listen, c.TraceLives, c.Hub.Limits.Messages = []string{"127.0.0.1:0"}, 1000, 1000
	})
	s := p.events("channel=a&client=ann").opened()
	var cursors []string
	for i := range 250 {
		cursors = append(cursors, p.publish("a", fmt.Sprint(i)))
		s.next()
	}
	p.await("all", func() bool { return p.trace(admin.TraceQuestion{User: "ann", Cursor: cursors[249]}).Verdict == "sent" })
	var wait sync.WaitGroup
	for i := range 40 {
		wait.Go(func() {
			for n := range 5 {
				r, err := p.server.Trace(t.Context(), admin.TraceQuestion{User: "ann", Cursor: cursors[i*5+n]})
				if err != nil || r.Verdict != "sent" {
					t.Errorf("%+v, %v", r, err)
				}
			}
		})
	}
	wait.Wait()
	// New messages come in pages.
	next, got := p.trace(admin.TraceQuestion{User: "ann", Cursor: cursors[0]}).Cursor, []string{cursors[0]}
	for {
		news, after, err := p.server.TraceNew(t.Context(), admin.TraceQuestion{User: "ann", Cursor: next})
		if err != nil || len(news) > admin.MostTraced {
			t.Fatalf("%d messages, %v", len(news), err)
		}
		if got = append(got, news...); len(news) == 0 {
			break
		}
		next = after
	}
	if strings.Join(got, " ") != strings.Join(cursors, " ") {
		t.Errorf("%d new messages: %v", len(got), got)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx  context.Context
		q    admin.TraceQuestion
		want string
	}{
		{over, admin.TraceQuestion{User: "ann", Cursor: cursors[0]}, "event loop does not respond"},
		{t.Context(), admin.TraceQuestion{User: "ann", Cursor: cursors[0], Channels: make([]string, 1001)}, "at most 1000 channels"},
		{t.Context(), admin.TraceQuestion{Cursor: cursors[0]}, "name whom"},
		{t.Context(), admin.TraceQuestion{User: "ann", Cursor: strings.Split(cursors[0], "-")[0] + "-0"}, "none of this log"},
		{t.Context(), admin.TraceQuestion{User: "ann", Cursor: strings.Split(cursors[0], "-")[0] + "-18446744073709551615"}, "none of this log"},
	} {
		r, err := p.server.Trace(c.ctx, c.q)
		if c.ctx == over && err != nil && strings.Contains(err.Error(), "ask again") { // whichever is noticed first
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %+v, %v; want %q", c.q.Cursor, r, err, c.want)
		}
	}
}

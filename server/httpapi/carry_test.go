package httpapi

import (
	"bytes"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/ring"
	"peal/server/grant"
	"peal/server/hub"
	"peal/server/log/memory"
	"peal/server/subscribe"
	"peal/server/workers"
)

// moved is a client of which a front is only asked who it is.
type moved struct {
	loop.Client
	session uint64
}

func (m moved) Session() uint64      { return m.session }
func (m moved) Ref() loop.Ref        { return loop.Ref{} }
func (m moved) Peer() netip.AddrPort { return netip.MustParseAddrPort("192.0.2.7:1234") }

// lookedAt is a door that reports what the loop is asked to do.
type lookedAt struct {
	Answerer
	do chan struct{}
}

func (d lookedAt) Do(loop.Ref, func(loop.Client)) { d.do <- struct{}{} }

// TestCarry: a front of another process knows of a session what the front here knew.
func TestCarry(t *testing.T) {
	door := lookedAt{do: make(chan struct{}, 1)}
	open := func() *Front {
		r, err := ring.New(64, 1<<20, 0)
		if err != nil {
			t.Fatal(err)
		}
		w := workers.New(1, 1)
		t.Cleanup(w.Close)
		return New(Deps{Log: memory.Open(time.Now), Hub: hub.New(hub.Config{}, r, func() {}, time.Now), Workers: w, Door: door})
	}
	a, b := open(), open()
	a.access.out, b.access.out = new(bytes.Buffer), new(bytes.Buffer)
	scope, err := grant.NewScope(map[grant.Action][]string{grant.Subscribe: {"orders.*"}})
	if err != nil {
		t.Fatal(err)
	}
	s := &loop.Subscription{}
	a.guests.Hold(5, &grant.Grant{Kind: grant.User, Subject: "42", Expires: time.Now().Unix() + 60, Scope: scope}, s, false)
	a.guests.Bring(5, subscribe.Brought{User: "42"}, s)
	a.access.awaited[5] = access{line: []byte(`{"path":"/poll"`), began: time.Unix(1_700_000_000, 0).UTC()}
	a.streams.catching[5] = catching{99, time.Second}
	data, ok := a.Export(5, nil)
	if !ok || len(data) == 0 {
		t.Fatalf("%q, %t", data, ok)
	}
	if err := takes(b, 5, data); err != nil {
		t.Fatal(err)
	}
	again, ok := b.Export(5, nil)
	if !ok || !bytes.Equal(again, data) {
		t.Errorf("%s\nbecame\n%s", data, again)
	}
	if g := b.guests.Grant(5); g == nil || !g.Allows(grant.Subscribe, "orders.7") || g.Allows(grant.Subscribe, "other") {
		t.Errorf("the grant is %+v", g)
	}
	b.Responded(5, []byte("HTTP/1.1 200 OK\r\n\r\n"))
	if line := b.access.out.(*bytes.Buffer).String(); !strings.HasPrefix(line, `{"path":"/poll","status":200,`) {
		t.Errorf("the access log has %q", line)
	}
	select {
	case <-door.do: // whether the reader has all that was retained
	case <-time.After(time.Minute):
		t.Error("a reader that catches up is not looked at again")
	}
	b.Left(5)
	if data, ok := b.Export(5, nil); !ok || len(data) > 0 {
		t.Errorf("after the end: %q, %t", data, ok)
	}

	// Most connections have nothing to carry.
	if data, ok := a.Export(6, nil); !ok || len(data) > 0 {
		t.Errorf("%q, %t", data, ok)
	}
	if err := b.Import(moved{session: 6}, nil); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"{", `{"guest":{"Grant":{"Kind":"machine"}}}`, `{"pusher":{"App":"gone"}}`} {
		before := reflect.ValueOf(b.guests).Elem().FieldByName("grants").Len()
		if err := takes(b, 7, []byte(bad)); err == nil {
			t.Errorf("%s is taken", bad)
		}
		if after := reflect.ValueOf(b.guests).Elem().FieldByName("grants").Len(); after != before || b.pusher.Has(7) {
			t.Errorf("%s leaves something behind", bad)
		}
	}
}

// takes has b read and take what another front knew of a session.
func takes(b *Front, session uint64, data []byte) error {
	from, err := b.Read(data)
	if err != nil {
		return err
	}
	return b.Import(moved{session: session}, from)
}

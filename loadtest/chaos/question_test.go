package chaos

import (
	"strings"
	"testing"
	"time"
)

// inquiry is a client with two connections: on the first, which was opened at 1 s, it follows channel 1 from sequence 10, hears message 2
// (at 12), and is served up to 13; on the second, from 13 on, a poll, it hears a gap up to 15 and then message 6 (at 16). Message i is at
// sequence 10+i, and was published at i+1 seconds.
type inquiry struct {
	w *world
	j journal
	q Questions
}

const inquiryChannel = 1

func newInquiry() *inquiry {
	in := &inquiry{}
	began := time.Unix(1000, 0)
	var all []publication
	for i := range 9 {
		p := publication{label: label{uint64(i + 1), inquiryChannel, uint32(i + 1)}, at: at(11 + i), sent: began.Add(time.Duration(i+2) * time.Second)}
		all = append(all, p)
	}
	in.open("127.16.0.1", "sse", 1*time.Second, 10)
	in.hear(message, 12, 2, 4*time.Second)
	in.hear(position, 13, 0, 5*time.Second)
	in.open("127.16.0.2", "poll", 6*time.Second, 13)
	in.hear(gap, 15, 0, 8*time.Second)
	in.hear(message, 16, 6, 9*time.Second)
	in.hear(position, 16, 0, 9*time.Second)
	in.w = newWorld(All, nil, all, []*journal{&in.j}, 1)
	in.w.began, in.w.latest = began, 5
	return in
}

func (in *inquiry) open(address, transport string, when time.Duration, from int) {
	in.j.open(connection{transport: transport, channels: []int32{inquiryChannel}, from: []place{at(from)}, address: address, start: 1}, when)
}

func (in *inquiry) hear(k kind, sequence int, id uint64, when time.Duration) {
	in.j.records = append(in.j.records, record{kind: k, channel: inquiryChannel, at: at(sequence), id: id, when: when})
}

// ask adds an answer about message id, which came after 20 s, or at the given time. said are address and verdict of each connection.
func (in *inquiry) ask(id uint64, verdict string, said ...string) *asked {
	a := asked{id: id, start: 1, from: 20 * time.Second, to: 20 * time.Second, report: traceReport{Verdict: verdict}}
	for i := 0; i < len(said); i += 2 {
		a.report.Connections = append(a.report.Connections, traceConnection{Address: said[i], Verdict: said[i+1]})
	}
	in.q.asked = append(in.q.asked, a)
	return &in.q.asked[len(in.q.asked)-1]
}

const one, two = "127.16.0.1", "127.16.0.2"

func TestTrueAnswersOfATraceAreTrue(t *testing.T) {
	in := newInquiry()
	confirmed := in.ask(2, "sent", one, "sent", two, "had it by its cursor")
	confirmed.report.Connections[0].Confirmed = &struct{ By, Cursor string }{"reconnect cursor", ""}
	in.ask(6, "sent", one, "disconnected", two, "sent")
	in.ask(5, "gap told", one, "disconnected", two, "gap told")
	in.ask(8, "still behind", one, "disconnected", two, "still behind")
	in.ask(9, "disconnected", one, "disconnected", two, "disconnected")
	in.ask(7, "sent", one, "disconnected", two, "sent") // it left without reading it
	in.ask(8, "not known")
	in.ask(8, "not known").report.Reason = olderThanRecord
	a := in.q.judge(in.w, []*journal{&in.j})
	if a.Wrong != 0 || a.NotKnown != 1 || a.Before != 1 || a.Asked != 8 || a.By["reconnect cursor"] != 1 || a.Verdicts["disconnected"] != 6 {
		t.Errorf("%+v", a)
	}
	if want := "policy not subscribed then connected later pong next poll"; strings.Join(a.Missing, " ") != want || a.Clean() {
		t.Errorf("never said: %v, want %s", a.Missing, want)
	}
}

// Each answer is wrong.
func TestWrongAnswersOfATraceAreFound(t *testing.T) {
	for _, c := range []struct {
		id      uint64
		verdict string
		said    []string
		want    string
	}{
		{2, "disconnected", []string{one, "disconnected", two, "had it by its cursor"}, "had received it"},
		{2, "not connected", nil, "had received it"},
		{2, "had it by its cursor", []string{two, "had it by its cursor"}, "had received it"},
		{3, "sent", []string{one, "sent", two, "had it by its cursor"}, "did not receive it"},
		{3, "still behind", []string{one, "still behind"}, "served up to behind"},
		{3, "disconnected", []string{one, "disconnected"}, "served up to behind"},
		{3, "gap told", []string{one, "gap told"}, "told of no gap"},
		{5, "policy", []string{two, "policy", one, "disconnected"}, ""},
		{9, "connected later", []string{two, "connected later"}, "before it was published"},
		{8, "had it by its cursor", []string{two, "had it by its cursor"}, "asked for what follows"},
		{8, "not connected", nil, "is missing"},
		{8, "still behind", []string{two, "still behind"}, "is missing"},
		{8, "still behind", []string{one, "disconnected", two, "disconnected"}, "no connection in it says so"},
		{8, "disconnected", []string{"127.16.0.3", "disconnected"}, "did not have"},
		{8, "token did not grant", []string{two, "token did not grant"}, "grants the channel"},
		{8, "retention passed", []string{two, "retention passed"}, "older ones"},
		{8, "excluded", []string{two, "excluded"}, "unexpected"},
	} {
		in := newInquiry()
		in.ask(c.id, c.verdict, c.said...)
		if c.want == "" { // the channel has no such policy
			in.q.asked[0].report.Connections[0].Detail, c.want = "slow consumer", "skips nothing"
		}
		a := in.q.judge(in.w, []*journal{&in.j})
		if a.Wrong != 1 || !strings.Contains(a.findings()[0], c.want) || a.Clean() {
			t.Errorf("message %d, %q of %q: %d wrong, %q; want %q", c.id, c.verdict, c.said, a.Wrong, a.findings(), c.want)
		}
	}
	for _, by := range []string{"pong", "next poll", "reconnect cursor", "guess"} {
		in := newInquiry()
		in.ask(7, "sent", one, "disconnected", two, "sent").report.Connections[1].Confirmed = &struct{ By, Cursor string }{by, ""}
		if a := in.q.judge(in.w, []*journal{&in.j}); a.Wrong != 1 {
			t.Errorf("confirmed by %s: %q", by, a.findings())
		}
	}
	// A connection of the process before is no connection of this one.
	in := newInquiry()
	in.j.connections[0].start = 2
	in.ask(9, "disconnected", one, "disconnected", two, "disconnected")
	if a := in.q.judge(in.w, []*journal{&in.j}); a.Wrong != 1 {
		t.Errorf("another start: %q", a.findings())
	}
}

func TestAnswersThatAreNotKnownAreFew(t *testing.T) {
	a := Answers{Asked: 1100, NotKnown: 10, Before: 100}
	if !a.Clean() {
		t.Error("1 % is allowed, of the questions that the record could answer")
	}
	if a.NotKnown++; a.Clean() {
		t.Error("more is not")
	}
}

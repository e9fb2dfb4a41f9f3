package fanout_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"peal/loop/fanout"
	"peal/loop/ring"
)

// plainNames name numbers by themselves.
type plainNames struct{}

func (plainNames) EncodingName(k ring.Encoding) string { return fmt.Sprint("encoding ", k) }
func (plainNames) EncodingOf(name string) (ring.Encoding, bool) {
	var k ring.Encoding
	_, err := fmt.Sscanf(name, "encoding %d", &k)
	return k, err == nil
}
func (plainNames) OriginName(origin uint16) string { return strconv.Itoa(int(origin)) }
func (plainNames) OriginOf(name string) (uint16, bool) {
	n, err := strconv.ParseUint(name, 10, 16)
	return uint16(n), err == nil || name == ""
}

// takeOver has members go on in the fan next, where they are attached.
func takeOver(t *testing.T, fan, next *fanout.Fan, members int) (states []fanout.MemberState) {
	t.Helper()
	x := fan.NewExporter(plainNames{})
	rests, err := travel(x.Rests)
	if err != nil {
		t.Fatal(err)
	}
	in := next.NewImporter(plainNames{}, rests)
	for slot := range uint32(members) {
		var state fanout.MemberState
		err := x.Member(slot, &state)
		if err == nil {
			state, err = travel(state)
		}
		if err == nil {
			err = in.Member(slot, &state)
		}
		if err != nil {
			t.Fatalf("member %d: %v", slot, err)
		}
		states = append(states, state)
	}
	return states
}

// process is a fan with what is around it.
type process struct {
	*fanout.Fan
	out *simSender
}

func newProcess(t *testing.T, source *simHistory, applied uint64, limits fanout.Limits) *process {
	p := &process{out: &simSender{fail: t.Fatalf, sockets: map[fanout.Conn]*simSocket{}}}
	p.Fan = fanout.New(applied, limits, &simEncoder{map[[2]uint64]int{}}, source, p.out, nopEvents{})
	p.UsePolicy(func(channel string) fanout.Policy {
		if channel == "latest" {
			return fanout.Latest
		}
		return fanout.Resume
	})
	return p
}

func (p *process) attach(slot uint32, socket *simSocket) {
	p.out.sockets[fanout.Conn{Slot: slot}] = socket
	p.Attach(fanout.Conn{Slot: slot}, uint64(slot)+1)
}

func (p *process) publish(source *simHistory, channels ...string) {
	for _, c := range channels {
		m := &ring.Message{Sequence: source.head + 1, Channel: c, Size: 20}
		source.append(m)
		p.Apply([]*ring.Message{m})
	}
	for p.Flush(100) {
	}
}

func newHistory() *simHistory {
	return &simHistory{keep: map[string]int{"latest": 100, "A": 100}, kept: map[string][]*ring.Message{}, discarded: map[string]uint64{}, joined: map[string]int{}}
}

// A slow consumer is one behind the hand-over, too: of a channel with that policy, it receives the newest message only.
func TestSlowConsumersStaySlow(t *testing.T) {
	for _, slow := range []bool{true, false} {
		source, socket := newHistory(), &simSocket{}
		p := newProcess(t, source, 0, fanout.Limits{})
		p.attach(0, socket)
		from := fanout.Now
		if !slow { // it resumes: it has never been live
			p.publish(source, "latest")
			from = fanout.Earliest
		}
		if _, err := p.Subscribe(0, &fanout.Subscription{Channels: []string{"latest"}, From: from}); err != nil {
			t.Fatal(err)
		}
		p.publish(source, "latest", "latest", "latest")
		next := newProcess(t, source, p.Applied(), fanout.Limits{})
		next.attach(0, socket)
		if state := takeOver(t, p.Fan, next.Fan, 1)[0]; state.Slow != slow || !state.Full {
			t.Errorf("slow is %v, want %v, and full %v", state.Slow, slow, state.Full)
		}
		socket.room, socket.full = 1000, false
		next.Writable(0)
		next.publish(source, "latest")
		want := ""
		if slow {
			want = "<G latest 0 3 3>" + text(source.all[3])
		} else {
			for _, m := range source.all {
				want += text(m)
			}
		}
		if got := string(socket.arrived); got != want {
			t.Errorf("slow is %v: received %q, want %q", slow, got, want)
		}
	}
}

// A poll is the same poll in the next process.
func TestPollsKeepWhatTheyAre(t *testing.T) {
	source := newHistory()
	p := newProcess(t, source, 0, fanout.Limits{AnswerMessages: 10})
	subs := []fanout.Subscription{
		{Channels: []string{"A"}, Encoding: encPoll},
		{Channels: []string{"A", "B"}, Encoding: encPoll, Origin: 7, Close: true},
		{Channels: []string{"A"}, Encoding: encPoll1, Most: 1, HeadOnly: true, Introduce: true},
	}
	for i := range subs {
		subs[i].OneShot = true
		p.attach(uint32(i), &simSocket{room: 1 << 20})
		if _, err := p.Subscribe(uint32(i), &subs[i]); err != nil {
			t.Fatal(err)
		}
	}
	next := newProcess(t, source, 0, fanout.Limits{AnswerMessages: 20})
	for i := range subs {
		next.attach(uint32(i), &simSocket{room: 1 << 20})
	}
	for i, state := range takeOver(t, p.Fan, next.Fan, len(subs)) {
		sub := &subs[i]
		if !slices.Equal(state.Channels, sub.Channels) || state.Encoding != fmt.Sprint("encoding ", sub.Encoding) || state.Most != sub.Most || state.Close != sub.Close || state.HeadOnly != sub.HeadOnly || state.Introduce != sub.Introduce {
			t.Errorf("poll %d is handed over as %+v", i, state)
		}
		if next.Origin(uint32(i)) != sub.Origin || next.HeadOnly(uint32(i)) != sub.HeadOnly {
			t.Errorf("poll %d has origin %d, and is one by HEAD: %v", i, next.Origin(uint32(i)), next.HeadOnly(uint32(i)))
		}
	}
	for range 15 { // more than a response of the process before may have
		m := &ring.Message{Sequence: source.head + 1, Channel: "A", Size: 20}
		source.append(m)
		next.Apply([]*ring.Message{m})
	}
	for next.Flush(100) {
	}
	for i, want := range []int{15, 15, 1} {
		if got := len(messageStart.FindAll(next.out.sockets[fanout.Conn{Slot: uint32(i)}].arrived, -1)); got != want {
			t.Errorf("poll %d has %d messages, want %d", i, got, want)
		}
	}
}

// Members whose sockets have taken parts of one message hold it once in the next process, too.
func TestRestsAreHandedOverOnce(t *testing.T) {
	const members, bytes = 100, 10_000
	fan, _ := stalledMembers(t, members, bytes, 1<<30, func(uint32) string { return "A" })
	next := fanout.New(fan.Applied(), fanout.Limits{}, nopEncoder{}, &nopSource{}, &halfSender{}, nopEvents{})
	for slot := range uint32(members) {
		next.Attach(fanout.Conn{Slot: slot}, uint64(slot)+1)
	}
	x := fan.NewExporter(plainNames{})
	if len(x.Rests) != 1 || len(x.Rests[0]) != fan.Stats().Held {
		t.Fatalf("%d rests, want one of %d bytes", len(x.Rests), fan.Stats().Held)
	}
	takeOver(t, fan, next, members)
	if got, want := next.Stats().Held, fan.Stats().Held; got != want {
		t.Errorf("%d bytes are held, and %d were", got, want)
	}
	next.Detach(0)
	for slot := range uint32(members - 1) {
		next.Detach(slot + 1)
	}
	if got := next.Stats(); got.Held != 0 || got.Channels != 0 {
		t.Errorf("%d bytes are held, and %d channels are left", got.Held, got.Channels)
	}
}

// What was exported may go on where it was, and what is with the sender is not handed over.
func TestExportIsForSettledMembers(t *testing.T) {
	source := newHistory()
	p := newProcess(t, source, 0, fanout.Limits{})
	p.out.timing = turnLate
	p.attach(0, &simSocket{room: 1 << 20})
	if _, err := p.Subscribe(0, &fanout.Subscription{Channels: []string{"A"}}); err != nil {
		t.Fatal(err)
	}
	m := &ring.Message{Sequence: 1, Channel: "A", Size: 20}
	source.append(m)
	p.Apply([]*ring.Message{m})
	if p.Settled() {
		t.Error("a message waits, and the fan is settled")
	}
	p.Flush(10)
	if err := p.NewExporter(plainNames{}).Member(0, new(fanout.MemberState)); !errors.Is(err, fanout.ErrFlying) || p.Settled() {
		t.Errorf("bytes are with the sender, and the fan is settled (%v), or the member is handed over: %v", p.Settled(), err)
	}
	p.out.turn++
	for p.Flush(10) {
	}
	var state fanout.MemberState
	if err := p.NewExporter(plainNames{}).Member(0, &state); err != nil || state.Position != 1 || !p.Settled() {
		t.Errorf("position %d, error %v, settled %v", state.Position, err, p.Settled())
	}
}

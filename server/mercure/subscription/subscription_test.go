package subscription

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/share"
)

const books = "https://example.com/books/{id}"

// events is a log that keeps what is appended.
type events struct {
	t       *testing.T
	got     []string
	refuse  error // of Append
	fail    error // of the result
	pending []func(error)
	hold    bool // results come later
}

func (l *events) append(batch []*log.Entry, done func(error)) error {
	if l.refuse != nil {
		return l.refuse
	}
	if l.fail == nil || l.hold {
		for _, e := range batch {
			var o object
			if err := json.Unmarshal(e.Data, &o); err != nil || !e.Private || e.Channel != log.PrivatePrefix+o.ID || o.Context != "https://mercure.rocks/" {
				l.t.Errorf("%+v: %v", e, err)
			}
			l.got = append(l.got, fmt.Sprint(o.Topic, " ", o.Active))
		}
	}
	if l.hold {
		l.pending = append(l.pending, done)
		return nil
	}
	done(l.fail)
	return nil
}

func (l *events) take() string {
	got := l.got
	l.got = nil
	slices.Sort(got)
	return strings.Join(got, ", ")
}

// object is a document as encoding/json reads it.
type object struct {
	Context       string `json:"@context"`
	ID, Type      string
	Topic         string
	Subscriber    string
	Active        bool
	Payload       any
	LastEventID   string `json:"lastEventID"`
	Subscriptions []object
	Next          string
}

func read(t *testing.T, b []byte) (o object) {
	t.Helper()
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return o
}

func TestSubscriptionsAreListedAndAnnounced(t *testing.T) {
	table, l := New(100, 100), &events{t: t}
	if !table.Begin(1, 0, []string{books, "a b"}, `{"user":42}`) || !table.Begin(2, 0, []string{books}, "") {
		t.Fatal("not taken")
	}
	select {
	case <-table.Work():
	default:
		t.Error("no signal")
	}
	all := read(t, table.AppendList(nil, "", "", "z-7"))
	if all.ID != "/.well-known/mercure/subscriptions" || all.Type != "Subscriptions" || all.Context != "https://mercure.rocks/" || all.LastEventID != "z-7" || len(all.Subscriptions) != 3 || all.Next != "" {
		t.Errorf("%+v", all)
	}
	of := read(t, table.AppendList(nil, books, "", "z-7"))
	if of.ID != "/.well-known/mercure/subscriptions/https%3A%2F%2Fexample.com%2Fbooks%2F%7Bid%7D" || len(of.Subscriptions) != 2 {
		t.Errorf("%+v", of)
	}
	uuid := regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for _, s := range of.Subscriptions {
		if s.Type != "Subscription" || s.Topic != books || !s.Active || !uuid.MatchString(s.Subscriber) || s.Context != "" || s.LastEventID != "" || s.ID != of.ID+"/"+strings.ReplaceAll(s.Subscriber, ":", "%3A") {
			t.Errorf("%+v", s)
		}
		b, ok := table.AppendOne(nil, s.Topic, s.Subscriber, "z-8")
		if one := read(t, b); !ok || one.ID != s.ID || one.LastEventID != "z-8" || one.Context == "" || fmt.Sprint(one.Payload) != fmt.Sprint(s.Payload) {
			t.Errorf("%+v", one)
		}
	}
	if of.Subscriptions[0].Subscriber == of.Subscriptions[1].Subscriber {
		t.Error("two connections are one subscriber")
	}
	if text := fmt.Sprint(of.Subscriptions[0].Payload, of.Subscriptions[1].Payload); !strings.Contains(text, "map[user:42]") || !strings.Contains(text, "<nil>") {
		t.Errorf("payloads %s", text)
	}
	if _, ok := table.AppendOne(nil, books, "urn:uuid:other", ""); ok {
		t.Error("found one that there is not")
	}

	if more := table.Report(l.append); more || l.take() != "a b true, "+books+" true, "+books+" true" {
		t.Errorf("more %v", more)
	}
	if table.Report(l.append) || l.take() != "" {
		t.Error("again")
	}
	table.End(1)
	table.End(1)
	table.End(9)
	if table.Report(l.append); l.take() != "a b false, "+books+" false" {
		t.Error("not ended")
	}
	if got := table.Stats(); got != (Stats{Active: 1, Held: 1, Events: 5}) {
		t.Errorf("%+v", got)
	}
	table.Begin(3, 0, []string{"c"}, "")
	table.End(3)
	if table.Report(l.append); l.take() != "" || table.Stats().Held != 1 {
		t.Error("the end of what nobody knows")
	}
	// A topic whose id is too long to be published on is listed only.
	long := strings.Repeat("/", 60)
	table.Begin(4, 0, []string{long}, "")
	if table.Report(l.append); l.take() != "" || len(read(t, table.AppendList(nil, long, "", "")).Subscriptions) != 1 {
		t.Error("a long id")
	}
	table.End(4)
	table.End(2)
	if table.Finish(l.append); l.take() != books+" false" || table.Stats() != (Stats{Events: 6, Active: 0}) {
		t.Errorf("%+v", table.Stats())
	}
}

func TestLimits(t *testing.T) {
	table, l := New(5, 3), &events{t: t}
	begin := func(session uint64, by share.Key, n int) bool {
		var topics []string
		for i := range n {
			topics = append(topics, fmt.Sprint("t", i))
		}
		return table.Begin(session, by, topics, "")
	}
	if !begin(1, 1, 4) || begin(2, 1, 1) || !begin(3, 2, 3) || begin(4, 3, 1) {
		t.Error("not what there is room for")
	}
	if got := table.Stats(); got != (Stats{Active: 5, Held: 5, Unlisted: 4}) {
		t.Errorf("%+v", got)
	}
	table.Report(l.append)
	table.End(1)
	if begin(5, 3, 1) {
		t.Error("the ends of others are still to be published, and it was taken")
	}
	table.Report(l.append)
	if !begin(5, 3, 1) || !begin(6, 1, 1) || table.Stats().Held != 4 {
		t.Errorf("%+v", table.Stats())
	}
	var none *Table
	none.End(1)
	none.Finish(l.append)
	if none.Begin(1, 0, []string{"a"}, "") || none.Work() != nil || none.Stats() != (Stats{}) || none.Report(l.append) {
		t.Error("no table took one")
	}
}

// What the log refuses, at once or later, is reported again, and never in the wrong order.
func TestEventsThatTheLogRefuses(t *testing.T) {
	table, l := New(100, 100), &events{t: t}
	l.refuse = errors.New("full")
	table.Begin(1, 0, []string{"a"}, "")
	for range 2 {
		if !table.Report(l.append) {
			t.Error("it does not come again")
		}
	}
	table.Finish(l.append) // ends
	l.refuse, l.fail = nil, errors.New("disk")
	table.Report(l.append)
	<-table.Work()
	if l.fail = nil; table.Report(l.append) || l.take() != "a true" {
		t.Error("lost")
	}
	// It ends while its beginning is on the way.
	l.hold = true
	table.Begin(2, 0, []string{"b"}, "")
	table.Report(l.append)
	table.End(2)
	if table.Report(l.append) || l.take() != "b true" {
		t.Error("its end went ahead")
	}
	l.pending[0](nil)
	if table.Report(l.append); l.take() != "b false" || table.Stats().Held != 2 {
		t.Error("its end is lost")
	}
	l.pending[1](nil)
	if table.Stats().Held != 1 {
		t.Error("it is not forgotten")
	}
}

func TestLongListsHavePages(t *testing.T) {
	table := New(20_000, 20_000)
	topics := make([]string, 128)
	for session := range uint64(60) {
		for i := range topics {
			topics[i] = fmt.Sprint("https://example.com/a/rather/long/topic/", session, "/", i)
		}
		table.Begin(session, 0, slices.Clone(topics), "")
	}
	var ids []string
	for after, pages := "", 0; ; pages++ {
		page := read(t, table.AppendList(nil, "", after, "z-1"))
		for _, s := range page.Subscriptions {
			ids = append(ids, s.ID)
		}
		if page.Next == "" {
			if pages < 2 {
				t.Errorf("only %d pages", pages)
			}
			break
		}
		after = ids[len(ids)-1]
		if page.Next != Path+"?after="+string(appendEscaped(nil, after)) {
			t.Fatalf("next %s", page.Next)
		}
	}
	if len(ids) != 60*128 || !slices.IsSorted(ids) || len(slices.Compact(ids)) != 60*128 {
		t.Errorf("%d ids", len(ids))
	}
}

// Whatever happens in which order, the events of one subscription alternate and end with its
// state.
func TestRandomOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	table := New(50, 40)
	var clock time.Duration
	table.now = func() time.Duration { clock += ReportEvery; return clock }
	var mu sync.Mutex
	last := map[string]bool{}
	appendTo := func(batch []*log.Entry, done func(error)) error {
		if rnd.IntN(4) == 0 {
			return errors.New("no")
		}
		var err error
		if rnd.IntN(4) == 0 {
			err = errors.New("later")
		}
		mu.Lock()
		for _, e := range batch {
			o := read(t, e.Data)
			if err == nil {
				if last[o.ID] == o.Active {
					t.Errorf("%s twice: %v", o.ID, o.Active)
				}
				last[o.ID] = o.Active
			}
		}
		mu.Unlock()
		done(err)
		return nil
	}
	open := map[uint64]bool{}
	for n := range uint64(5000) {
		switch rnd.IntN(3) {
		case 0:
			if table.Begin(n, share.Key(rnd.IntN(3)), []string{"a", "b"}, "") {
				open[n] = true
			}
		case 1:
			for s := range open {
				table.End(s)
				delete(open, s)
				break
			}
		default:
			table.Report(appendTo)
		}
	}
	for range 1000 {
		table.Report(appendTo)
	}
	want := map[string]bool{}
	for _, s := range table.active() {
		want[s.ID] = true
	}
	for id, active := range last {
		if active != want[id] {
			t.Errorf("%s: %v", id, active)
		}
		delete(want, id)
	}
	if len(want) > 0 || table.Stats().Held != table.Stats().Active {
		t.Errorf("without events: %v; %+v", want, table.Stats())
	}
}

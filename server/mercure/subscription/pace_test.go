package subscription

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/share"
)

// A client that opens and leaves subscriptions as fast as it can makes no more entries of the log
// than Pace has, whatever it holds then is reported, and others do not wait for it.
func TestOneAddressHasAPace(t *testing.T) {
	table := New(10_000, 5000)
	var clock time.Duration
	table.now = func() time.Duration { return clock }
	made := map[string]int{} // events by topic
	last := map[string]bool{}
	report := func() bool {
		return table.Report(func(batch []*log.Entry, done func(error)) error {
			for _, e := range batch {
				var o object
				if err := json.Unmarshal(e.Data, &o); err != nil {
					t.Fatal(err)
				}
				made[o.Topic]++
				last[o.ID] = o.Active
			}
			done(nil)
			return nil
		})
	}
	const storm, other = share.Key(1), share.Key(2)
	topics := make([]string, 100)
	for i := range topics {
		topics[i] = "storm"
	}
	session := uint64(0)
	const seconds = 30
	for range int(seconds * time.Second / ReportEvery) {
		clock += ReportEvery
		// 1,000 subscriptions a second, of which each is left a tenth of a second later.
		table.End(session)
		session++
		table.Begin(session, storm, topics, "")
		before := made["other"]
		table.Begin(1<<40|session, other, []string{"other"}, "")
		if report(); made["other"] != before+1 {
			t.Fatalf("after %v, another address has %d events, want %d", clock, made["other"], before+1)
		}
	}
	most := Pace.Burst + seconds*Pace.Count
	if made["storm"] > most || made["storm"] < most/2 {
		t.Errorf("%d events in %d s, want at most %d, and not much less", made["storm"], seconds, most)
	}
	table.End(session)
	for range 10_000 {
		clock += ReportEvery
		if !report() {
			break
		}
	}
	if got := table.Stats(); got.Active != made["other"] || got.Held != got.Active || len(table.queue.lines) != 0 || table.queue.order != nil {
		t.Errorf("%+v, %d lines; want %d", got, len(table.queue.lines), made["other"])
	}
	open := 0
	for _, active := range last {
		if active {
			open++
		}
	}
	if open != table.Stats().Active {
		t.Errorf("%d are active by their events, want %d", open, table.Stats().Active)
	}
}

// Events that the log refuses do not count, and the end of the server waits for no pace.
func TestPaceOfWhatIsRefusedAndOfTheEnd(t *testing.T) {
	table := New(5000, 5000)
	table.now = func() time.Duration { return 0 }
	for session := range uint64(40) {
		table.Begin(session, 1, make([]string, 100), "")
	}
	no := func([]*log.Entry, func(error)) error { return errors.New("full") }
	for range 50 {
		if !table.Report(no) {
			t.Fatal("nothing is left")
		}
	}
	n := 0
	yes := func(batch []*log.Entry, done func(error)) error { n += len(batch); done(nil); return nil }
	for range 50 {
		table.Report(yes)
	}
	if n != Pace.Burst {
		t.Errorf("%d events at once, want %d", n, Pace.Burst)
	}
	if table.Finish(yes); n != 4000 {
		t.Errorf("%d events at the end, want 4000", n)
	}
}

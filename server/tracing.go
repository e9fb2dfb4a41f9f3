package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"peal/loop"
	"peal/loop/fanout"
	"peal/loop/ring"
	"peal/server/admin"
	"peal/server/dialect"
	"peal/server/httpapi"
	"peal/server/log"
	"peal/server/permit"
	"peal/server/refusal"
	"peal/server/session"
	"peal/server/trace"
)

// tracing is the records of all loops: Config.TraceLives. nil: there are none.
type tracing struct {
	records  []*trace.Record // by loop; used on its goroutine only
	sessions *session.IDs
	dialects *dialect.Table
	asking   chan struct{} // has an element for each question that is being answered
}

// Limits of questions.
const (
	mostQuestions     = 2    // at a time; further ones wait
	mostNamedChannels = 1000 // that one names
)

// newTracing returns the records of c, nil if it is off.
func (s *Server) newTracing(c Config, sessions *session.IDs, dialects *dialect.Table) *tracing {
	if c.TraceLives <= 0 {
		return nil
	}
	t := &tracing{sessions: sessions, dialects: dialects, asking: make(chan struct{}, mostQuestions)}
	for range c.Loop.Loops {
		t.records = append(t.records, trace.New(trace.Config{
			Lives: max(1, c.TraceLives/c.Loop.Loops), Bytes: c.TraceBytes / c.Loop.Loops, Head: s.hub.Head, Now: time.Now,
		}))
	}
	return t
}

// restart says that the records know nothing up to head, that of the log. No loop runs yet.
func (t *tracing) restart(head uint64) {
	if t == nil {
		return
	}
	for _, r := range t.records {
		r.Restart(head)
	}
}

// refused returns what hears of refusals on a loop, nil for nothing.
func (t *tracing) refused(loop int) func(r *permit.Request, err *refusal.Error) {
	if t == nil {
		return nil
	}
	return func(r *permit.Request, err *refusal.Error) {
		name := r.Who.User()
		if name == "" {
			name = string(r.Who.Client)
		}
		if name == "" {
			return // nobody can ask about it
		}
		var channels []string
		for _, n := range r.Channels {
			channels = append(channels, n.Text())
		}
		t.records[loop].Refuse(&trace.Client{Session: r.Who.Session, Name: name, Address: r.From.Peer.Addr(), Dialect: unknownDialect}, channels, err.Code)
	}
}

// unknownDialect is that of a refused request.
const unknownDialect = math.MaxUint8

// tracer returns what hears of the connections of the loops, nil for nothing.
func (s *Server) tracer() func(loop int) loop.Tracer {
	if s.tracing == nil {
		return nil
	}
	return func(i int) loop.Tracer { return &tracer{s.tracing.records[i], s.fronts[i], s.log} }
}

// tracer is a loop.Tracer that keeps the record of its loop.
type tracer struct {
	*trace.Record
	front *httpapi.Front
	log   log.Log
}

var _ loop.Tracer = (*tracer)(nil)

var causes = [...]trace.Why{fanout.Dropped: trace.Retention, fanout.Skipped: trace.Policy, fanout.Strange: trace.Unknown, fanout.Lost: trace.Lost}

// Gap implements loop.Tracer.
func (w *tracer) Gap(slot uint32, channel string, from, to uint64, why fanout.Cause) {
	w.Record.Gap(slot, channel, from, to, causes[why])
}

// Joined implements loop.Tracer.
func (w *tracer) Joined(slot uint32, j *loop.Joined) {
	t := trace.Joining{
		Client: trace.Client{
			Session: j.Session, Name: w.front.NameOf(j.Session), Address: j.Peer.Addr(), Dialect: uint8(j.Sub.Dialect),
			Poll: j.Sub.OneShot, Shared: j.Proxied,
		},
		Channels: j.Sub.Channels, From: trace.From(j.Sub.From), Start: j.Start, Told: j.Told, Covered: j.Covered, Unsure: j.Unsure,
	}
	if j.Carried {
		t.From = trace.Carried
	}
	if j.Sub.Adopt != nil {
		t.ID = *j.Sub.Adopt
	}
	w.Record.Join(slot, &t)
}

// Dropped implements loop.Tracer.
func (w *tracer) Dropped(slot uint32, channels []string, covered, unsure uint64) {
	w.Leave(slot, channels, covered, unsure)
}

// Pinged implements loop.Tracer.
func (w *tracer) Pinged(slot uint32, position uint64) { w.Ping(slot, position) }

// Ponged implements loop.Tracer. The payload is the cursor of the ping, or nothing.
func (w *tracer) Ponged(slot uint32, payload []byte) {
	if len(payload) == 0 {
		w.Pong(slot, 0, false)
		return
	}
	c, err := log.ParseCursor(payload)
	if err != nil {
		return
	}
	if at, ok := w.log.Resolve(c); ok {
		w.Pong(slot, at, true)
	}
}

// Ended implements loop.Tracer.
func (w *tracer) Ended(slot uint32, covered, unsure uint64) { w.End(slot, covered, unsure) }

// What a question cannot be answered for.
var (
	errNoTrace     = errors.New("this server keeps no record: start it with --trace-lives, as in --trace-lives 100000")
	errTraceWhom   = errors.New("name whom the question is about: user, session or channel")
	errTraceMany   = fmt.Errorf("name at most %d channels", mostNamedChannels)
	errTraceBusy   = errors.New("other questions are being answered: ask again")
	errTraceCursor = errors.New("the cursor is none of this log: use the one of the response to the publisher, or the id of a message")
)

// traceLooks is how many lives a loop looks at in one turn: about 0.3 ms.
const traceLooks = 2048

// Trace implements admin.Tracer.
func (s *Server) Trace(ctx context.Context, ask admin.TraceQuestion) (trace.Report, error) {
	q, err := s.traceQuestion(ask)
	if err != nil {
		return trace.Report{}, err
	}
	if err := s.tracing.begin(ctx); err != nil {
		return trace.Report{}, err
	}
	defer s.tracing.end()
	c, err := log.ParseCursor(ask.Cursor)
	if err != nil {
		return trace.Report{}, errTraceCursor
	}
	at, ok := s.log.Resolve(c)
	if !ok || at == 0 {
		return trace.Report{}, errTraceCursor
	}
	q.Sequence = at
	candidates := ask.Channels
	if len(candidates) == 0 {
		if candidates, err = s.traceChannels(ctx, q); err != nil {
			return trace.Report{}, err
		}
	}
	e := s.findEntry(ctx, at, candidates)
	note := ""
	switch {
	case e != nil:
		q.Channels = append([]string{e.Channel}, e.Also...)
		if e.Exclude != nil {
			q.Exclude = *e.Exclude
		}
	case len(ask.Channels) > 0:
		q.Channels = ask.Channels
		note = "the message is not retained any more: the answer takes the channel for its own, and does not know whom it leaves out"
	default:
		report := trace.NewReport(q, &trace.Answer{Verdict: trace.NotKnown, Reason: "the message is not retained, or was published on none of the channels of this client: name its channel"}, s.traceNames())
		return report, nil
	}
	findings, places := make([]trace.Finding, len(s.tracing.records)), make([]uint32, len(s.tracing.records))
	err = s.loops.Survey(ctx, func(loop int, covered func(uint32) uint64) bool {
		places[loop] = s.tracing.records[loop].Ask(q, places[loop], traceLooks, covered, &findings[loop])
		return places[loop] != 0
	})
	if err != nil {
		return trace.Report{}, fmt.Errorf("an event loop does not respond: %w", err)
	}
	a := trace.Conclude(q, findings, s.cluster != nil && len(s.ClusterStatus().Nodes) > 1)
	report := trace.NewReport(q, &a, s.traceNames())
	report.Note = note
	if e != nil {
		report.Channels, report.Published = q.Channels, trace.Time(e.Time)
	}
	return report, nil
}

// TraceNew implements admin.Tracer.
func (s *Server) TraceNew(ctx context.Context, ask admin.TraceQuestion) (cursors []string, next string, err error) {
	q, err := s.traceQuestion(ask)
	if err != nil {
		return nil, "", err
	}
	if err := s.tracing.begin(ctx); err != nil {
		return nil, "", err
	}
	defer s.tracing.end()
	lineage, head := s.log.Lineage(), s.hub.Head()
	after := head
	if ask.Cursor != "" {
		c, err := log.ParseCursor(ask.Cursor)
		if err != nil {
			return nil, "", errTraceCursor
		}
		var ok bool
		if after, ok = s.log.Resolve(c); !ok {
			return nil, "", errTraceCursor
		}
	}
	channels := ask.Channels
	if len(channels) == 0 {
		if channels, err = s.traceChannels(ctx, q); err != nil {
			return nil, "", err
		}
	}
	var found []uint64
	var messages []*ring.Message
	for _, name := range channels {
		messages, _, _ = s.hub.Read(messages[:0], name, after, head, admin.MostTraced, math.MaxInt)
		for _, m := range messages {
			found = append(found, m.Sequence)
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	if len(found) >= admin.MostTraced { // a channel may have more
		found = found[:admin.MostTraced]
		head = found[len(found)-1]
	}
	for _, m := range found {
		cursors = append(cursors, lineage.Cursor(m).String())
	}
	return cursors, lineage.Cursor(max(head, after)).String(), nil
}

// begin waits until a question may be asked; end must follow.
func (t *tracing) begin(ctx context.Context) error {
	select {
	case t.asking <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errTraceBusy
	}
}

func (t *tracing) end() { <-t.asking }

// traceQuestion is the part of a question that says about whom it is.
func (s *Server) traceQuestion(ask admin.TraceQuestion) (*trace.Question, error) {
	if s.tracing == nil {
		return nil, errNoTrace
	}
	if len(ask.Channels) > mostNamedChannels {
		return nil, errTraceMany
	}
	q := &trace.Question{Name: ask.User, IDOf: func(n uint64) [16]byte { return s.tracing.sessions.Of(n) }}
	if ask.Session != "" {
		number, id, err := s.sessionNumber(ask.Session)
		if err != nil {
			return nil, err
		}
		if q.Number = number; id != nil {
			q.Number, q.ID = 0, *id
		}
	}
	if ask.User == "" && ask.Session == "" && len(ask.Channels) == 0 {
		return nil, errTraceWhom
	}
	if s.config.matchers() {
		patterns := openPatterns{rules: &s.table, apps: &s.apps, asking: s.asking}
		q.Carries = func(name string) bool {
			p := patterns.Pattern(name)
			return p != nil && slices.ContainsFunc(q.Channels, p.Match)
		}
	}
	return q, nil
}

// traceChannels are the channels that the connections of a question have, or had.
func (s *Server) traceChannels(ctx context.Context, q *trace.Question) ([]string, error) {
	sets, places := make([]map[string]bool, len(s.tracing.records)), make([]uint32, len(s.tracing.records))
	for i := range sets {
		sets[i] = map[string]bool{}
	}
	err := s.loops.Survey(ctx, func(loop int, _ func(uint32) uint64) bool {
		places[loop] = s.tracing.records[loop].Channels(q, places[loop], traceLooks, sets[loop])
		return places[loop] != 0
	})
	if err != nil {
		return nil, fmt.Errorf("an event loop does not respond: %w", err)
	}
	all := map[string]bool{}
	for _, set := range sets {
		maps.Copy(all, set)
	}
	return slices.Sorted(maps.Keys(all)), nil
}

// findEntry finds the entry of a sequence in the histories of channels, or in the log; nil if it is
// not retained.
func (s *Server) findEntry(ctx context.Context, sequence uint64, channels []string) *log.Entry {
	for _, name := range channels {
		found, _, _ := s.hub.Read(nil, name, sequence-1, sequence, 1, math.MaxInt)
		if len(found) == 1 {
			return found[0].Entry.(*log.Entry)
		}
	}
	if reader, ok := s.log.(log.Reader); ok && ctx.Err() == nil {
		if found, err := reader.Read(nil, sequence-1, 1, 1); err == nil && len(found) == 1 && found[0].Sequence == sequence && found[0].Kind == log.KindPublication {
			return found[0]
		}
	}
	return nil
}

// traceNames is how reports of this server write what is in the records.
func (s *Server) traceNames() trace.Names {
	lineage := s.log.Lineage()
	return trace.Names{
		Cursor: func(n uint64) string { return lineage.Cursor(n).String() },
		ID:     func(id [16]byte) string { return session.ID(id).String() },
		Dialect: func(n uint8) (name, transport string) {
			if n == unknownDialect {
				return "", ""
			}
			row := s.tracing.dialects.At(ring.Encoding(n))
			switch row.Framing {
			case loop.WebSocket:
				return row.Name, "websocket"
			case loop.EventStream:
				return row.Name, "sse"
			}
			return row.Name, "poll"
		},
	}
}

// TraceStats tells about the records; zero without any.
func (s *Server) TraceStats(ctx context.Context) (sum trace.Stats, err error) {
	if s.tracing == nil {
		return sum, nil
	}
	each := make([]trace.Stats, len(s.tracing.records))
	if err := s.loops.Each(ctx, func(i int) { each[i] = s.tracing.records[i].Stats() }); err != nil {
		return sum, err
	}
	for _, one := range each {
		sum.Add(one)
	}
	return sum, nil
}

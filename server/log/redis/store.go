package redis

import (
	"context"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"peal/server/log"
	"peal/server/log/distributed"
)

//go:embed append.lua
var appendText string

//go:embed guard.lua
var guardText string

//go:embed stream.lua
var streamText string

//go:embed begin.lua
var beginText string

//go:embed look.lua
var lookText string

//go:embed checkpoint.lua
var checkpointText string

// writerAge is how long the last call of a node is remembered.
const writerAge = "3600000"

// mostPredecessors is how many epochs before the present one are known.
const mostPredecessors = "64"

// store implements distributed.Store.
type store struct {
	client   rueidis.Client
	keys     keys
	replicas int64
	wait     time.Duration
	script   string // that appends
	sha      string // of it
	report   *slog.Logger
	dials    atomic.Uint64
	inbox    options  // of its connections, which are not counted
	args     []string // of Append, kept for the next one
}

type keys struct{ log, meta, state, writer, key string }

func keysOf(name string) keys {
	p := "{" + name + "}:"
	return keys{log: p + "log", meta: p + "meta", state: p + "state", writer: p + "writer:", key: p + "key:"}
}

// Open opens the log at url for a new node. It must be started, or closed. now is the
// clock, time.Now outside tests.
func Open(url string, c Config, now func() time.Time) (*Log, error) {
	c = c.WithDefaults()
	s, err := open(url, c)
	if err != nil {
		return nil, fmt.Errorf("log %s: %w", Redacted(url), explained(err))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = s.check(ctx)
	var l *distributed.Log
	if err == nil {
		l, err = distributed.Open(ctx, s, c.Config, now, nil)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("log %s: %w", Redacted(url), explained(err))
	}
	return &Log{l, newInbox(s.inbox, l.Node()), newCollections(s.inbox)}, nil
}

// Succeed opens the log for the process that goes on for the node that h describes; see log.Incoming.
func Succeed(url string, c Config, now func() time.Time, h log.Handover) (*Log, error) {
	if h.Engine != "redis" {
		return nil, fmt.Errorf("log %s: the process before keeps its log in %s: configure the same", Redacted(url), h.Engine)
	}
	h.Engine = "distributed"
	c = c.WithDefaults()
	s, err := open(url, c)
	if err != nil {
		return nil, fmt.Errorf("log %s: %w", Redacted(url), explained(err))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = s.check(ctx)
	var l *distributed.Log
	if err == nil {
		l, err = distributed.Succeed(ctx, s, c.Config, now, nil, h)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("log %s: %w", Redacted(url), explained(err))
	}
	return &Log{l, newInbox(s.inbox, l.Node()), newCollections(s.inbox)}, nil
}

func open(url string, c Config) (*store, error) {
	o, err := parse(url)
	if err != nil {
		return nil, err
	}
	if err := o.passwords(c.PasswordFile); err != nil {
		return nil, err
	}
	s := &store{keys: keysOf(o.name), replicas: int64(c.Replicas), wait: c.Wait, report: c.Log, inbox: o}
	dial := o.client.DialCtxFn
	o.client.DialCtxFn = func(ctx context.Context, address string, d *net.Dialer, t *tls.Config) (net.Conn, error) {
		s.dials.Add(1)
		switch {
		case dial != nil:
			return dial(ctx, address, d, t)
		case t != nil:
			return (&tls.Dialer{NetDialer: d, Config: t}).DialContext(ctx, "tcp", address)
		}
		return d.DialContext(ctx, "tcp", address)
	}
	if s.client, err = rueidis.NewClient(o.client); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *store) Close() { s.client.Close() }

// connections is how many the client has when nothing goes wrong.
const connections = 2

func (s *store) Reconnects() uint64 { return max(s.dials.Load(), connections) - connections }

func (s *store) eval(text string, keys []string, args ...string) rueidis.Completed {
	return s.client.B().Eval().Script(text).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
}

func (s *store) Look(ctx context.Context, state bool) (m distributed.Meta, ready bool, err error) {
	with := "0"
	if state {
		with = "1"
	}
	b := s.client.B()
	commands := rueidis.Commands{
		b.ScriptExists().Sha1(s.sha).Build(),
		s.eval(streamText+lookText, []string{s.keys.log, s.keys.meta, s.keys.state}, with),
	}
	if state {
		commands = append(commands, b.Xlen().Key(s.keys.log).Build())
	}
	answers := s.client.DoMulti(ctx, commands...)
	exists, err := answers[0].AsIntSlice()
	if err != nil {
		return m, false, kind(err)
	}
	if err := wrongType(ctx, s.client, answers[1].Error(), typed{s.keys.log, "stream"}, typed{s.keys.meta, "hash"}, typed{s.keys.state, "hash"}); err != nil {
		return m, false, err
	}
	m, last, same, err := metaOf(answers[1])
	if state && err == nil {
		m.Entries, err = answers[2].AsUint64()
		err = kind(err)
	}
	// With an id beyond the head, which somebody else has added, Redis accepts no other.
	return m, len(exists) == 1 && exists[0] == 1 && same && m.Format > 0 && last <= m.Head, err
}

// metaOf reads what look.lua returns. last is the newest id that the stream has ever had; same
// is whether the epoch has begun on this server, since it was started.
func metaOf(answer rueidis.RedisResult) (m distributed.Meta, last uint64, same bool, err error) {
	a, err := answer.AsStrSlice()
	if err != nil {
		return m, 0, false, kind(err)
	}
	if len(a) != 15 {
		return m, 0, false, errors.New("redis: unexpected answer")
	}
	r := reader{}
	m.Format = int(r.number(a[0]))
	m.Epoch = log.Epoch(r.number(a[1]))
	m.Began, m.Head = r.number(a[2]), r.number(a[3])
	m.Origin = r.number(a[14])
	for text := range strings.FieldsSeq(a[4]) {
		epoch, last, _ := strings.Cut(text, ":")
		m.Predecessors = append(m.Predecessors, log.Predecessor{Epoch: log.Epoch(r.number(epoch)), Last: r.number(last)})
	}
	check, _ := strconv.ParseUint(a[7], 16, 64) // 0 for an entry that is not Peal's
	m.Newest = distributed.Link{Sequence: sequenceOf(a[6]), Check: check}
	m.Check, _ = strconv.ParseUint(a[12], 16, 64) // or it is not known
	if m.Oldest = sequenceOf(a[5]); m.Oldest == 0 {
		m.Oldest = m.Head + 1
	}
	m.Saved, m.Digest = r.number(a[8]), r.number(a[9])
	m.State = []byte(a[10])
	if m.Format > distributed.FormatVersion {
		return m, 0, false, &distributed.FormatError{Version: m.Format}
	}
	if r.bad {
		return m, 0, false, fmt.Errorf("redis: the keys of the log have values that are not Peal's")
	}
	return m, sequenceOf(a[11]), a[13] == "1", nil
}

// reader reads numbers; an empty text is 0.
type reader struct{ bad bool }

func (r *reader) number(text string) uint64 {
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	r.bad = r.bad || err != nil
	return n
}

// sequenceOf is the first half of the id of an entry of a stream.
func sequenceOf(id string) uint64 {
	text, _, _ := strings.Cut(id, "-")
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}

func (s *store) Begin(ctx context.Context, b distributed.Begin) (m distributed.Meta, err error) {
	known, common, first := "", "", "0"
	if b.First {
		first = "1"
	}
	if b.Known != 0 {
		known = text(uint64(b.Known))
	}
	if b.Common != math.MaxUint64 {
		common = text(b.Common)
	}
	// The node that has begun loads the script on the same connection, so on the same server.
	err = s.client.Dedicated(func(c rueidis.DedicatedClient) error {
		begun, err := c.Do(ctx, s.eval(streamText+beginText, []string{s.keys.log, s.keys.meta},
			known, common, text(b.Seen), text(uint64(b.Next)), hex(b.Check), text(b.Jump), strconv.Itoa(distributed.FormatVersion), mostPredecessors, first)).ToString()
		if err == nil && begun == "begun" {
			err = c.Do(ctx, c.B().ScriptLoad().Script(s.script).Build()).Error()
		}
		return err
	})
	if err != nil {
		return m, kind(err)
	}
	m, ready, err := s.Look(ctx, false)
	if err == nil && !ready {
		err = distributed.ErrMoved
	}
	return m, err
}

func (s *store) Append(ctx context.Context, c *distributed.Call) ([]distributed.Result, error) {
	args := append(s.args[:0], text(c.Number), text(uint64(c.Epoch)), text(c.Seen), text(uint64(max(c.Window.Milliseconds(), 1))), s.keys.key, writerAge, strconv.Itoa(len(c.Batch)))
	for _, batch := range c.Batch {
		args = append(args, strconv.Itoa(len(batch)))
		for i := range batch {
			item := &batch[i]
			args = append(args, hex(item.Check), rueidis.BinaryString(item.Entry), item.Key, item.Digest)
		}
	}
	b := s.client.B()
	do := b.Evalsha().Sha1(s.sha).Numkeys(3).Key(s.keys.log, s.keys.meta, s.keys.writer+hex(c.Node)).Arg(args...).Build()
	clear(args)
	s.args = args
	var answer rueidis.RedisResult
	if s.replicas > 0 {
		answers := s.client.DoMulti(ctx, do, b.Wait().Numreplicas(s.replicas).Timeout(max(s.wait.Milliseconds()*3/4, 1)).Build()) // its answer is there before the call ends
		answer = answers[0]
		if n, err := answers[1].AsInt64(); answer.Error() == nil && (err != nil || n < s.replicas) {
			return nil, fmt.Errorf("%w: %d of %d replicas have them (log-replicas)", distributed.ErrUnconfirmed, n, s.replicas)
		}
	} else {
		answer = s.client.Do(ctx, do)
	}
	result, err := answer.ToString()
	if err != nil {
		return nil, kind(err)
	}
	return resultsOf(result, c)
}

// resultsOf reads what append.lua has returned.
func resultsOf(result string, c *distributed.Call) ([]distributed.Result, error) {
	if result == "moved" {
		return nil, distributed.ErrMoved
	}
	all := strings.Split(result, ";")
	if len(all) != len(c.Batch) {
		return nil, errors.New("redis: the result is that of another call")
	}
	results := make([]distributed.Result, len(all))
	for i, text := range all {
		n, r := len(c.Batch[i]), &results[i]
		if r.Conflict = text == "!"; r.Conflict {
			continue
		}
		r.Sequences = make([]uint64, n)
		if each := strings.Split(text, ","); len(each) == n && n > 1 || strings.HasPrefix(text, "-") {
			r.Old = make([]bool, n)
			for k, one := range each[:min(n, len(each))] {
				digits, old := strings.CutPrefix(one, "-")
				r.Old[k] = old
				r.Sequences[k], _ = strconv.ParseUint(digits, 10, 64)
			}
			continue
		}
		first, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return nil, errors.New("redis: unexpected answer")
		}
		for k := range r.Sequences {
			r.Sequences[k] = first + uint64(k)
		}
	}
	return results, nil
}

func (s *store) Read(ctx context.Context, after uint64, most int, wait time.Duration) ([]distributed.Record, error) {
	b := s.client.B()
	if wait <= 0 {
		a := s.client.Do(ctx, b.Xrange().Key(s.keys.log).Start(text(after+1)).End("+").Count(int64(most)).Build())
		entries, err := a.AsXRangeSlices()
		return records(entries), kind(err)
	}
	a := s.client.Do(ctx, b.Xread().Count(int64(most)).Block(wait.Milliseconds()).Streams().Key(s.keys.log).Id(text(after)+"-18446744073709551615").Build())
	streams, err := a.AsXReadSlices()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	return records(streams[s.keys.log]), kind(err)
}

func (s *store) Back(ctx context.Context, upto uint64, most int) ([]distributed.Record, error) {
	a := s.client.Do(ctx, s.client.B().Xrevrange().Key(s.keys.log).End(text(upto)).Start("-").Count(int64(most)).Build())
	entries, err := a.AsXRangeSlices()
	return records(entries), kind(err)
}

func records(entries []rueidis.XRangeSlice) []distributed.Record {
	all := make([]distributed.Record, len(entries))
	for i := range entries {
		r := &all[i]
		r.Sequence = sequenceOf(entries[i].ID)
		for _, f := range entries[i].FieldValues {
			switch f.Field {
			case "e":
				r.Entry = []byte(f.Value)
			case "c":
				r.Check, _ = strconv.ParseUint(f.Value, 16, 64)
			case "p":
				r.Before, _ = strconv.ParseUint(f.Value, 16, 64)
			}
		}
	}
	return all
}

func (s *store) Checkpoint(ctx context.Context, epoch log.Epoch, upto, digest uint64, state []byte, retain int) (ok bool, err error) {
	args := []string{text(upto), text(digest), strconv.Itoa(retain), "0", text(uint64(epoch))}
	if state != nil {
		args[3] = "1"
		args = append(args, rueidis.BinaryString(state))
	}
	n, err := s.client.Do(ctx, s.eval(checkpointText, []string{s.keys.log, s.keys.meta, s.keys.state}, args...)).AsInt64()
	if n == 2 {
		return false, distributed.ErrMoved
	}
	return n == 1, kind(err)
}

func text(n uint64) string { return strconv.FormatUint(n, 10) }
func hex(n uint64) string  { return strconv.FormatUint(n, 16) }

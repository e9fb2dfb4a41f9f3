package redis

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"peal/server/log"
)

//go:embed lease.lua
var leaseText string

//go:embed more.lua
var moreText string

//go:embed settle.lua
var settleText string

const (
	inboxLease    = 5 * time.Second // of the node that moves
	inboxWait     = time.Second     // for entries, if there are none
	inboxPatience = 5 * time.Second // for any answer
	refusedKept   = 1000            // entries that are set aside, about
	refusedFields = 64              // of an entry that is set aside, names and values; the rest is left out
)

// inbox implements log.Inbox. It has connections of its own, so that nothing of it waits in
// front of the log's.
type inbox struct {
	option rueidis.ClientOption
	client rueidis.Client // nil until Lease
	node   string

	stream, refused, mover string // keys
}

func newInbox(o options, node uint64) *inbox {
	p := "{" + o.name + "}:inbox"
	option := o.client
	option.BlockingPoolSize = 1
	return &inbox{option: option, node: hex(node), stream: p, refused: p + ":refused", mover: p + ":mover"}
}

func (i *inbox) do(ctx context.Context, build func(rueidis.Builder) rueidis.Completed) rueidis.RedisResult {
	ctx, cancel := context.WithTimeout(ctx, inboxPatience)
	defer cancel()
	return i.client.Do(ctx, build(i.client.B()))
}

func (i *inbox) Lease(ctx context.Context) (bool, error) {
	if i.client == nil {
		client, err := rueidis.NewClient(i.option)
		if err != nil {
			return false, fmt.Errorf("redis: %w", err)
		}
		i.client = client
	}
	n, err := i.do(ctx, func(b rueidis.Builder) rueidis.Completed {
		return b.Eval().Script(leaseText).Numkeys(1).Key(i.mover).Arg(i.node, strconv.FormatInt(inboxLease.Milliseconds(), 10)).Build()
	}).AsInt64()
	return n == 1, i.fault(ctx, err)
}

// fault is what err says of the keys of the inbox.
func (i *inbox) fault(ctx context.Context, err error) error {
	if wrong := wrongType(ctx, i.client, err, typed{i.stream, "stream"}, typed{i.refused, "stream"}, typed{i.mover, "string"}); wrong != nil {
		return wrong
	}
	return kind(err)
}

// Read reads the first entry with XREAD, which waits but cannot count bytes, and the others with
// a script.
func (i *inbox) Read(ctx context.Context, count, bytes int) (list []log.Foreign, more bool, err error) {
	streams, err := i.do(ctx, func(b rueidis.Builder) rueidis.Completed {
		return b.Xread().Count(1).Block(inboxWait.Milliseconds()).Streams().Key(i.stream).Id("0").Build()
	}).AsXReadSlices()
	if rueidis.IsRedisNil(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, i.fault(ctx, err)
	}
	if list = foreign(nil, streams[i.stream]); len(list) == 0 {
		return nil, false, nil
	}
	first := &list[0]
	if bytes -= first.Size(); bytes <= 0 || count <= 1 {
		return list, true, nil
	}
	answer, err := i.do(ctx, func(b rueidis.Builder) rueidis.Completed {
		return b.Eval().Script(moreText).Numkeys(1).Key(i.stream).Arg(first.ID, strconv.Itoa(count-1), strconv.Itoa(bytes)).Build()
	}).ToArray()
	if err != nil {
		return nil, false, i.fault(ctx, err)
	}
	if len(answer) != 2 {
		return nil, false, errors.New("redis: unexpected answer")
	}
	others, err := answer[0].AsXRangeSlices()
	if err != nil {
		return nil, false, fmt.Errorf("redis: %w", err)
	}
	left, err := answer[1].AsInt64()
	return foreign(list, others), left == 1, err
}

// foreign appends entries to list.
func foreign(list []log.Foreign, entries []rueidis.XRangeSlice) []log.Foreign {
	for n := range entries {
		f := log.Foreign{ID: entries[n].ID}
		for _, pair := range entries[n].FieldValues {
			f.Fields = append(f.Fields, pair.Field, pair.Value)
		}
		list = append(list, f)
	}
	return list
}

func (i *inbox) Settle(ctx context.Context, moved []string, refused []log.Refused) error {
	args := append([]string{strconv.Itoa(refusedKept), strconv.Itoa(len(moved))}, moved...)
	for n := range refused {
		fields := refused[n].Fields
		fields = fields[:min(len(fields), refusedFields)]
		args = append(args, refused[n].ID, strconv.Itoa(len(fields)+4), "reason", refused[n].Reason, "id", refused[n].ID)
		args = append(args, fields...)
	}
	return i.fault(ctx, i.do(ctx, func(b rueidis.Builder) rueidis.Completed {
		return b.Eval().Script(settleText).Numkeys(2).Key(i.stream, i.refused).Arg(args...).Build()
	}).Error())
}

func (i *inbox) Waiting(ctx context.Context) (int, error) {
	n, err := i.do(ctx, func(b rueidis.Builder) rueidis.Completed { return b.Xlen().Key(i.stream).Build() }).AsInt64()
	return int(n), i.fault(ctx, err)
}

func (i *inbox) Leave(ctx context.Context) {
	if i.client == nil {
		return
	}
	// A lease that cannot be given back ends by itself.
	_ = i.do(ctx, func(b rueidis.Builder) rueidis.Completed {
		return b.Eval().Script(leaseText).Numkeys(1).Key(i.mover).Arg(i.node, "0").Build()
	}).Error()
	i.client.Close()
	i.client = nil
}

package redis

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"peal/server/log"
)

//go:embed put.lua
var putText string

//go:embed delete.lua
var deleteText string

// collectionPatience is how long any answer may take.
const collectionPatience = 5 * time.Second

// collections has a connection of its own, so that large documents do not wait in front of the log's
// entries. It is made with the first call.
type collections struct {
	option rueidis.ClientOption
	prefix string // of keys

	mu     sync.Mutex
	client rueidis.Client // nil before the first call
	closed bool
}

func newCollections(o options) *collections {
	return &collections{option: o.client, prefix: "{" + o.name + "}:"}
}

// Collection implements log.Collecting.
func (l *Log) Collection(name string) log.Collection {
	return &collection{all: l.collections, stream: l.collections.prefix + name, body: l.collections.prefix + name + ":"}
}

func (a *collections) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.client != nil {
		a.client.Close()
		a.client = nil
	}
}

func (a *collections) connect() (rueidis.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return nil, log.ErrClosed
	case a.client != nil:
		return a.client, nil
	}
	client, err := rueidis.NewClient(a.option)
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	a.client = client
	return client, nil
}

// collection implements log.Collection: a stream with keys and heads, and a key for each body.
type collection struct {
	all          *collections
	stream, body string
}

func (c *collection) do(ctx context.Context, build func(rueidis.Builder) rueidis.Completed) (rueidis.RedisResult, error) {
	ctx, cancel := context.WithTimeout(ctx, collectionPatience)
	defer cancel()
	client, err := c.all.connect()
	if err != nil {
		return rueidis.RedisResult{}, err
	}
	answer := client.Do(ctx, build(client.B()))
	err = answer.Error()
	if rueidis.IsRedisNil(err) {
		return answer, nil
	}
	if wrong := wrongType(ctx, client, err, typed{c.stream, "stream"}); wrong != nil {
		return answer, wrong
	}
	return answer, kind(err)
}

func (c *collection) Put(ctx context.Context, d log.Document, most, bytes int) (dropped int, err error) {
	answer, err := c.do(ctx, func(b rueidis.Builder) rueidis.Completed {
		return b.Eval().Script(putText).Numkeys(1).Key(c.stream).Arg(c.body, d.Key, rueidis.BinaryString(d.Head), rueidis.BinaryString(d.Body), strconv.Itoa(most), strconv.Itoa(bytes)).Build()
	})
	if err != nil {
		return 0, err
	}
	n, err := answer.AsInt64()
	return int(n), err
}

func (c *collection) Heads(ctx context.Context) (heads [][]byte, err error) {
	answer, err := c.do(ctx, func(b rueidis.Builder) rueidis.Completed { return b.Xrange().Key(c.stream).Start("-").End("+").Build() })
	if err != nil {
		return nil, err
	}
	all, err := answer.AsXRange()
	for i := range all {
		heads = append(heads, []byte(all[i].FieldValues["h"]))
	}
	return heads, err
}

func (c *collection) Body(ctx context.Context, key string) (body []byte, ok bool, err error) {
	answer, err := c.do(ctx, func(b rueidis.Builder) rueidis.Completed { return b.Get().Key(c.body + key).Build() })
	if err != nil || rueidis.IsRedisNil(answer.Error()) {
		return nil, false, err
	}
	body, err = answer.AsBytes()
	return body, err == nil, err
}

func (c *collection) Delete(ctx context.Context, key string) (found bool, err error) {
	answer, err := c.do(ctx, func(b rueidis.Builder) rueidis.Completed {
		return b.Eval().Script(deleteText).Numkeys(1).Key(c.stream).Arg(c.body, key).Build()
	})
	if err != nil {
		return false, err
	}
	n, err := answer.AsInt64()
	return n > 0, err
}

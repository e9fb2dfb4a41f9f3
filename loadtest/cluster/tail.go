package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// stream is the key of the log.
const stream = "{peal}:log"

// Last is the sequence of the newest entry that Redis has, 0 for none.
func (c *Cluster) Last(ctx context.Context) (uint64, error) {
	answer, err := c.Redis.Do(ctx, "XREVRANGE", stream, "+", "-", "COUNT", "1")
	if err != nil {
		return 0, err
	}
	entries, _ := answer.([]any)
	if len(entries) == 0 {
		return 0, nil
	}
	entry, _ := entries[0].([]any)
	if len(entry) == 0 {
		return 0, fmt.Errorf("not an entry of a stream: %v", answer)
	}
	id, _ := entry[0].(string)
	digits, _, _ := strings.Cut(id, "-")
	return strconv.ParseUint(digits, 10, 64)
}

// LoseTail kills Redis, cuts up to most bytes off the end of its append-only file, and
// starts it again; nodes reach it only before and afterwards. It returns the last sequences
// before and after. Needs proxies and a Redis with an append-only file.
func (c *Cluster) LoseTail(ctx context.Context, rnd *rand.Rand, most int) (before, after uint64, err error) {
	for _, n := range c.Nodes {
		n.Proxy.Refuse()
	}
	if before, err = c.Last(ctx); err != nil || before == 0 {
		return 0, 0, errors.Join(err, fmt.Errorf("%s has %d entries to lose", stream, before))
	}
	if err := c.Redis.Kill(); err != nil {
		return 0, 0, err
	}
	if err := c.Redis.TruncateAOF(int64(1 + rnd.IntN(most))); err != nil {
		return 0, 0, err
	}
	if err := c.Redis.Start(ctx); err != nil {
		return 0, 0, err
	}
	after, err = c.Last(ctx)
	for _, n := range c.Nodes {
		err = errors.Join(err, n.Proxy.Go())
	}
	return before, after, err
}

package ask

import "time"

// cacheBytes bounds what answers take in a cache: those that rewrite data are long.
const cacheBytes = 16 << 20

// cache remembers answers until they have expired, the oldest of which it forgets when it is
// full. Its owner locks it.
type cache struct {
	answers map[Key]cached
	order   []Key // in which they came; the first `gone` were forgotten
	gone    int
	bytes   int
	evicted uint64
}

type cached struct {
	answer *Answer
	until  time.Time
}

func (c *cache) get(k Key, now time.Time) *Answer {
	hit, ok := c.answers[k]
	if !ok || !now.Before(hit.until) {
		return nil
	}
	return hit.answer
}

// put remembers an answer among at most so many.
func (c *cache) put(k Key, a *Answer, now time.Time, most int) {
	if a.ttl <= 0 || a.size() > cacheBytes/16 {
		return
	}
	if c.answers == nil {
		c.answers = map[Key]cached{}
	}
	if old, ok := c.answers[k]; ok { // expired: it keeps its place
		c.bytes -= old.answer.size()
	} else {
		c.order = append(c.order, k)
	}
	c.answers[k] = cached{a, now.Add(a.ttl)}
	for c.bytes += a.size(); len(c.answers) > most || c.bytes > cacheBytes; {
		c.forget(now)
	}
}

func (c *cache) forget(now time.Time) {
	k := c.order[c.gone]
	c.gone++
	if old := c.answers[k]; now.Before(old.until) {
		c.evicted++
	}
	c.bytes -= c.answers[k].answer.size()
	delete(c.answers, k)
	if c.gone > len(c.order)/2 {
		c.order = append(c.order[:0], c.order[c.gone:]...)
		c.gone = 0
	}
}

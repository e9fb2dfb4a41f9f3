package presence

import (
	"slices"
	"time"
)

// TickEvery is how often Tick must be called while it has something to do.
// Changes within that time are collected into one event.
const TickEvery = 100 * time.Millisecond

// Work is signalled when an idle table has something to do for Tick.
func (t *Table) Work() <-chan struct{} { return t.work }

// Tick removes the members whose grace period has ended, and calls publish with
// the due events, those of a channel in order. If publish returns an error, Tick
// keeps the event and passes it to publish again in a later Tick; changes meanwhile
// go into the event after it. more reports that Tick must be called again in
// TickEvery; otherwise call it after Work has signalled.
func (t *Table) Tick(publish func(*Event) error) (more bool) {
	select {
	case <-t.work: // this call handles it
	default:
	}
	now := t.clock()
	full := false
	for i := range t.shards {
		s := &t.shards[i]
		for t.expire(s, now) {
		}
		full = full || !t.publish(s, now, publish)
		s.mu.Lock()
		more = more || s.leaving.front != nil || len(s.dirty) > 0
		s.mu.Unlock()
	}
	return more
}

// expire removes at most holdSteps members whose grace period has ended. more
// reports that there are others.
func (t *Table) expire(s *shard, now time.Duration) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range holdSteps {
		m := s.leaving.front
		if m == nil || m.until() > now {
			return false
		}
		c := m.channel
		t.dropLocked(s, m)
		t.forgetIdleLocked(s, c)
	}
	return true
}

// publish publishes the events of the channels of s that have changes. It reports
// false if there was no room for an event.
func (t *Table) publish(s *shard, now time.Duration, publish func(*Event) error) bool {
	s.mu.Lock()
	todo := s.dirty
	s.dirty = nil
	s.mu.Unlock()
	var made []*channel
	for len(todo) > 0 {
		step := todo[:min(holdEvents, len(todo))]
		todo = todo[len(step):]
		made = t.makeEvents(s, step, now, made[:0])
		sent := 0
		for _, c := range made {
			if publish(c.unsent) != nil {
				break
			}
			sent++
		}
		t.events.Add(uint64(sent))
		t.settle(s, made, sent)
		todo = s.again(todo, made[:sent])
		if sent < len(made) {
			s.mu.Lock()
			s.dirty = append(s.dirty, todo...)
			s.mu.Unlock()
			return false
		}
	}
	return true
}

// again appends to todo those of the channels that have another event for the same moment.
func (s *shard) again(todo, sent []*channel) []*channel {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range sent {
		if !c.more || c.watch == nil {
			continue
		}
		if i := slices.Index(s.dirty, c); i >= 0 {
			s.dirty = slices.Delete(s.dirty, i, i+1)
		}
		todo = append(todo, c)
	}
	return todo
}

// makeEvents appends to made those of the channels that have an event now, in
// their field unsent. It does not change until settle, because only Tick and Sweep
// change it.
func (t *Table) makeEvents(s *shard, step []*channel, now time.Duration, made []*channel) []*channel {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range step {
		switch {
		case c.watch == nil: // no longer
			c.dirty = false
			t.forgetIdleLocked(s, c)
		case !t.due(c, now):
			s.dirty = append(s.dirty, c)
		default:
			if c.unsent == nil {
				c.unsent, c.sentAt = t.event(c), max(now, 1)
			}
			made = append(made, c)
		}
	}
	return made
}

// settle drops the events of the first sent channels of made.
func (t *Table) settle(s *shard, made []*channel, sent int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range made {
		if i < sent {
			c.unsent = nil
			if !c.changes.any() {
				c.dirty = false
				t.forgetIdleLocked(s, c)
				continue
			}
		}
		s.dirty = append(s.dirty, c)
	}
}

func (k *changes) any() bool { return k.unnamed || len(k.members) > 0 }

// Lost reports that the log has lost an event of channel that it had accepted: the
// next event has no names. Any goroutine may call it.
func (t *Table) Lost(channel string) {
	s := t.shardOf(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channels[channel]; c != nil && c.watch != nil {
		c.changes.unnamed, c.changes.members = true, nil
		t.markLocked(s, c)
	}
}

// Sweep ends the watch of channels without watchers for a minute or two. Call it
// about once a second, from the goroutine of Tick.
func (t *Table) Sweep() {
	now := t.clock()
	for i := range t.shards {
		for t.unwatch(&t.shards[i], now) {
		}
	}
}

// unwatch checks at most holdSteps watched channels that were not checked for a
// minute. more reports that there are others.
func (t *Table) unwatch(s *shard, now time.Duration) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range holdSteps {
		front := s.watches.Front()
		if front == nil || now-front.Value.(*channel).lookedAt < watchFor {
			return false
		}
		c := front.Value.(*channel)
		if alone := !t.watched(c.name); !alone || !c.alone { // check twice, because the last watcher may just have left
			c.alone, c.lookedAt = alone, now
			s.watches.MoveToBack(front)
			continue
		}
		s.watches.Remove(front)
		c.watch, c.unsent, c.changes = nil, nil, changes{}
		t.forgetIdleLocked(s, c)
	}
	return true
}

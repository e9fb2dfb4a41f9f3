package hub

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"peal/loop/ring"
	"peal/server/log"
)

// A hand-over to the hub of another process, the successor, which then tells each reader what this one would have: the same
// messages, and the same gaps. Two things go there:
//
//   - The retained messages, as entries of the log. A log in memory has them from EachRetained; others have them.
//   - What is not in them, in Parts: the highest sequence dropped from each channel, the records of forgotten ones,
//     which sessions were left out of what was dropped, and the order of publications for matchers.
//
// A message is retained by those of its channels that have not dropped its sequence. So both together say what each
// channel retains, and the successor fills its histories with Restore, in which its own limits hold.
//
//	Outgoing.Offer                      Succeed
//	HandOver: Changes ─────── Part ───► Import      then Restore, of the entries up to the head of Offer
//	Outgoing.Pause
//	Changes, of what has changed ─────► Import      then Restore, of the others
//	                                    (connections are taken over: Join)
//	                                    Settle

// Part is a piece of what a hub hands over, a value for encoding/gob. The parts of one call of Changes belong
// together, in their order. Fields may be added.
type Part struct {
	// Of the first part of each call.
	Hash                    string    // what Key and all hashes are of; a successor that does not know it refuses
	Key                     [2]uint64 // secret
	Shards, Buckets, Places int       // of the tables: shards, watermarks in all, and most records of a shard
	Head                    uint64    // Hub.Head

	Channels []HandedChannel // those that are new, or have changed
	Gone     []string        // names of those that are not there any more
	Tables   []HandedTable   // those that have changed

	// The order of publications, if it is recorded: nothing is known of it up to Floor, and Order goes on behind that
	// of the part before.
	Recorded bool
	Floor    uint64
	Order    []HandedPublication
}

// HandedChannel is a channel that has subscribers or history.
type HandedChannel struct {
	Name      string
	Discarded uint64 // highest sequence ever dropped
	Oldest    uint64 // sequence of the oldest message retained, 0 for none
}

// HandedTable is what a shard knows of channels by their hashes.
type HandedTable struct {
	Number     int
	Watermarks []uint64
	Records    []byte // the table of forgotten channels: for each place the hash, 8 bytes, and discarded, 8, both little-endian; 0 for none
	Runs       []HandedRun
}

// HandedRun is a run of dropped messages that leave out one session.
type HandedRun struct {
	Hash, Floor, Upto uint64
	Exclude           [16]byte
}

// HandedPublication is where one entry was published.
type HandedPublication struct {
	Sequence uint64
	Channel  string
	Also     []string
}

// Most of a part.
const (
	partChannels     = 1024
	partPublications = 1024
	partTables       = 16
)

// Handing is one hand-over of a hub. One goroutine uses it.
type Handing struct {
	hub    *Hub
	round  int
	noted  map[string]*noted
	tables []HandedTable // as they were given last
	order  uint64        // newest publication that was given
}

// noted is a channel as it was given.
type noted struct {
	discarded uint64
	round     int // in which it was there
}

// HandOver begins a hand-over. It holds what it has given, to know what changes, for as long as it is used: about
// 100 bytes for each channel, and a copy of the records of forgotten ones.
func (h *Hub) HandOver() *Handing {
	return &Handing{hub: h, noted: map[string]*noted{}, tables: make([]HandedTable, len(h.shards))}
}

// Changes calls give with everything, and the next time with what has changed since. It may be called while the hub is
// used, any number of times; the last time nothing may be appended, and no subscriber come or go. It returns the
// first error of give, which owns the part.
//
// It holds a lock for at most 256 channels, or for the copy of one table, at a time.
func (x *Handing) Changes(give func(*Part) error) error {
	h := x.hub
	x.round++
	first := &Part{Hash: h.hashName, Key: h.key, Shards: len(h.shards), Buckets: int(h.bucketMask) + 1, Places: h.records, Head: h.Head()}
	if err := give(first); err != nil {
		return err
	}
	for i := range h.shards {
		if err := x.channels(&h.shards[i], give); err != nil {
			return err
		}
	}
	if err := x.gone(give); err != nil {
		return err
	}
	if err := x.changedTables(give); err != nil {
		return err
	}
	return x.publications(give)
}

func (x *Handing) channels(s *shard, give func(*Part) error) error {
	h := x.hub
	var changed []HandedChannel
	var emptied []string
	now := h.now().UnixMilli()
	seen := 0
	s.mu.Lock()
	for name, c := range s.each {
		if seen++; seen%scanStep == 0 {
			s.mu.Unlock()
			runtime.Gosched()
			s.mu.Lock()
		}
		if h.expireLocked(c, now) {
			emptied = append(emptied, name)
			if c.subscribers == 0 {
				continue // it is forgotten now
			}
		}
		n := x.noted[name]
		if n == nil || n.discarded != c.discarded {
			k := HandedChannel{Name: name, Discarded: c.discarded}
			if c.history != nil && c.history.count > 0 {
				k.Oldest = c.history.at(0).message.Sequence
			}
			changed = append(changed, k)
		}
		if n == nil {
			n = &noted{}
			x.noted[name] = n
		}
		n.discarded, n.round = c.discarded, x.round
	}
	s.mu.Unlock()
	for _, name := range emptied {
		h.reap(name)
	}
	for step := range slices.Chunk(changed, partChannels) {
		if err := give(&Part{Channels: step}); err != nil {
			return err
		}
	}
	return nil
}

func (x *Handing) gone(give func(*Part) error) error {
	var gone []string
	for name, n := range x.noted {
		if n.round != x.round {
			gone = append(gone, name)
			delete(x.noted, name)
		}
	}
	for step := range slices.Chunk(gone, partChannels) {
		if err := give(&Part{Gone: step}); err != nil {
			return err
		}
	}
	return nil
}

func (x *Handing) changedTables(give func(*Part) error) error {
	var changed []HandedTable
	flush := func() error {
		if len(changed) == 0 {
			return nil
		}
		p := &Part{Tables: changed}
		changed = nil
		return give(p)
	}
	for i := range x.hub.shards {
		t, same := x.hub.shards[i].table(&x.tables[i])
		if same {
			continue
		}
		t.Number = i
		x.tables[i] = t
		if changed = append(changed, t); len(changed) == partTables {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// table copies what s knows by hashes, if it is not the same as before.
func (s *shard) table(before *HandedTable) (t HandedTable, same bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isTable(before) {
		return t, true
	}
	t.Watermarks = slices.Clone(s.watermarks)
	if s.forgotten.count > 0 {
		t.Records = make([]byte, 0, len(s.forgotten.records)*recordBytes)
		for _, r := range s.forgotten.records {
			t.Records = binary.LittleEndian.AppendUint64(t.Records, r.hash)
			t.Records = binary.LittleEndian.AppendUint64(t.Records, r.discarded)
		}
	}
	for hash, r := range s.runs {
		t.Runs = append(t.Runs, HandedRun{hash, r.floor, r.upto, r.exclusion.ID})
	}
	return t, false
}

// isTable reports whether t is what s knows.
func (s *shard) isTable(t *HandedTable) bool {
	if !slices.Equal(t.Watermarks, s.watermarks) || len(t.Runs) != len(s.runs) {
		return false
	}
	records := s.forgotten.records
	if s.forgotten.count == 0 {
		records = nil
	}
	if len(t.Records) != len(records)*recordBytes {
		return false
	}
	for i, b := 0, t.Records; i < len(records); i, b = i+1, b[recordBytes:] {
		if binary.LittleEndian.Uint64(b) != records[i].hash || binary.LittleEndian.Uint64(b[8:]) != records[i].discarded {
			return false
		}
	}
	for _, k := range t.Runs {
		if r, ok := s.runs[k.Hash]; !ok || r.floor != k.Floor || r.upto != k.Upto || r.exclusion.ID != k.Exclude {
			return false
		}
	}
	return true
}

func (x *Handing) publications(give func(*Part) error) error {
	all := x.hub.journal.now.Load()
	if all == nil {
		return nil
	}
	p := &Part{Recorded: true, Floor: all.floor}
	for s, i := all.find(x.order); s < len(all.segments); s, i = s+1, 0 {
		for _, e := range all.segments[s].entries[i:all.segments[s].used.Load()] {
			k := HandedPublication{Sequence: e.sequence, Channel: e.channel}
			if e.also != nil {
				k.Also = *e.also
			}
			p.Order = append(p.Order, k)
			x.order = e.sequence
		}
		if len(p.Order) >= partPublications {
			if err := give(p); err != nil {
				return err
			}
			p = &Part{Recorded: true, Floor: all.floor}
		}
	}
	return give(p)
}

// EachRetained calls f with the entries behind after and up to upto that channels retain, in order; see log.Retainer.
// It holds a lock for at most MaxRead of them at a time, and 8 bytes for each while it runs.
func (h *Hub) EachRetained(after, upto uint64, f func(batch []*log.Entry) error) error {
	var all []*log.Entry
	for i := range h.shards {
		all = h.shards[i].retained(all, after, upto)
	}
	slices.SortFunc(all, func(a, b *log.Entry) int {
		switch {
		case a.Sequence < b.Sequence:
			return -1
		case a.Sequence > b.Sequence:
			return 1
		}
		return 0
	})
	all = slices.Compact(all) // one in several channels
	for len(all) > 0 {
		n, bytes := 0, 0
		for n < len(all) && (n < retainedEntries && bytes < retainedBytes || n > 0 && all[n].Shared != nil && all[n].Shared == all[n-1].Shared) {
			bytes += all[n].Size() - all[n].Saved()
			n++
		}
		if err := f(all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// About so much is in a batch of EachRetained.
const (
	retainedEntries = 256
	retainedBytes   = 1 << 20
)

func (s *shard) retained(dst []*log.Entry, after, upto uint64) []*log.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := 0
	pause := func() {
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
		seen = 0
	}
	for _, c := range s.each {
		if seen++; seen >= scanStep {
			pause()
		}
		for from := after; c.history != nil; {
			past := c.history
			i, end := past.after(from), past.after(upto)
			for ; i < end && seen < MaxRead; i++ {
				m := past.at(i).message
				from = m.Sequence
				dst = append(dst, m.Entry.(*log.Entry))
				seen++
			}
			if i >= end {
				break
			}
			pause()
		}
	}
	return dst
}

// Succeed tells a new hub that it goes on with that of another process, of which Import and Restore bring the rest. It takes
// the place of Begin: the newest entry is head, and Restore brings those from oldest on. Settle must follow.
func (h *Hub) Succeed(oldest, head uint64) {
	h.head.Store(head)
	h.taking = &taking{oldest: oldest}
}

// taking is what a successor needs until Settle. Guarded by Hub.order.
type taking struct {
	oldest   uint64
	channels []*channel // each counts one subscriber, so that none is forgotten before its own have come
	known    bool       // the hash
	recorded bool       // the order of publications was handed over
	layout   struct{ shards, buckets, places int }
}

// errPart is what a part is that no hub has given.
var errPart = errors.New("hub: what was handed over is damaged, or of a later version of Peal")

// Import takes the next part; see Changes. Parts of a call come before the entries that are as old. An error says
// that this hub cannot go on with the other: it is as it was then, or useless.
func (h *Hub) Import(p *Part) error {
	h.order.Lock()
	defer h.order.Unlock()
	t := h.taking
	if t == nil {
		return errors.New("hub: nothing is handed over: Succeed was not called, or Settle was")
	}
	if p.Shards > 0 {
		if err := h.takeHash(p); err != nil {
			return err
		}
	}
	if !t.known {
		return errPart
	}
	for i := range p.Channels {
		h.takeChannel(&p.Channels[i])
	}
	for _, name := range p.Gone {
		h.dropChannel(name)
	}
	for i := range p.Tables {
		if err := h.takeTable(&p.Tables[i]); err != nil {
			return err
		}
	}
	if p.Recorded {
		t.recorded = true
		h.journal.take(p.Order, p.Floor)
	}
	return nil
}

func (h *Hub) takeHash(p *Part) error {
	t := h.taking
	powers := p.Shards&(p.Shards-1) == 0 && p.Buckets&(p.Buckets-1) == 0 && p.Buckets >= p.Shards
	switch {
	case p.Hash != h.hashName:
		return fmt.Errorf("hub: the other process knows channels by the hash %q, and this one by %q", p.Hash, h.hashName)
	case !powers || t.known && h.key != p.Key:
		return errPart
	case p.Hash == hashName:
		h.key, h.hash = p.Key, key(p.Key).hash
	}
	t.known = true
	t.layout.shards, t.layout.buckets, t.layout.places = p.Shards, p.Buckets, p.Places
	h.head.Store(max(h.head.Load(), p.Head))
	return nil
}

func (h *Hub) takeChannel(k *HandedChannel) {
	t := h.taking
	discarded := k.Discarded
	if k.Oldest > 0 && k.Oldest < t.oldest { // the log has less than the other process had
		discarded = max(discarded, t.oldest-1)
	}
	hash := h.hash(k.Name)
	s := h.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels.Get(hash, k.Name)
	if c == nil {
		c = h.addLocked(s, hash, k.Name, h.rules.Index(k.Name))
		c.discarded = discarded // and not what its hash says: it may have been there before that was raised
		c.subscribers++
		s.subscribers++
		t.channels = append(t.channels, c)
		return
	}
	h.dropUptoLocked(c, discarded)
	c.discarded = max(c.discarded, discarded)
	h.unlinkLocked(s, c)
}

// dropUptoLocked drops what the other hub has dropped, of which it knows whom it left out. The history may then be empty.
func (h *Hub) dropUptoLocked(c *channel, sequence uint64) {
	for c.history != nil && c.history.count > 0 && c.history.at(0).message.Sequence <= sequence {
		m := c.history.drop()
		h.bytes.Add(-int64(release(m)))
		h.messages.Add(-1)
	}
}

// dropChannel forgets a channel that the other hub has forgotten.
func (h *Hub) dropChannel(name string) {
	hash := h.hash(name)
	s := h.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels.Get(hash, name)
	if c == nil {
		return
	}
	h.dropUptoLocked(c, ^uint64(0))
	if c.history != nil {
		h.listOf(c).remove(c.history)
		c.history = nil
	}
	s.subscribers -= int(c.subscribers)
	s.channels.Remove(hash, name)
}

// takeTable takes a table as it is, if those of this hub are of the same sizes; or else what is in it.
func (h *Hub) takeTable(t *HandedTable) error {
	l := &h.taking.layout
	if t.Number < 0 || t.Number >= l.shards || len(t.Watermarks) != l.buckets/l.shards || len(t.Records)%recordBytes != 0 {
		return errPart
	}
	records := make([]record, 0, len(t.Records)/recordBytes)
	for b := t.Records; len(b) > 0; b = b[recordBytes:] {
		records = append(records, record{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])})
	}
	if l.shards == len(h.shards) && l.buckets == int(h.bucketMask)+1 && l.places == h.records {
		return h.replaceTable(t, records)
	}
	shardBits := 0
	for 1<<shardBits < l.shards {
		shardBits++
	}
	for i, discarded := range t.Watermarks {
		theirs := uint64(i)<<shardBits | uint64(t.Number) // the low bits of the hashes
		for ours := theirs & h.bucketMask; ours <= h.bucketMask; ours += uint64(l.buckets) {
			s := h.shardOf(ours)
			s.mu.Lock()
			w := h.watermarkLocked(s, ours)
			*w = max(*w, discarded)
			s.mu.Unlock()
		}
	}
	for _, r := range records {
		if r.discarded > 0 {
			s := h.shardOf(r.hash)
			s.mu.Lock()
			h.forgetLocked(s, r.hash, r.discarded)
			s.mu.Unlock()
		}
	}
	for _, r := range t.Runs {
		s := h.shardOf(r.Hash)
		s.mu.Lock()
		s.takeRun(r, h.session)
		s.mu.Unlock()
	}
	return nil
}

func (h *Hub) replaceTable(t *HandedTable, records []record) error {
	count := 0
	for _, r := range records {
		if r.discarded > 0 {
			count++
		}
	}
	f := forgotten{records: records, count: count}
	if n := len(records); n&(n-1) != 0 || n > h.records || n > 0 && (n < minRecords || count > n-n/8) {
		return errPart
	}
	s := &h.shards[t.Number]
	s.mu.Lock()
	defer s.mu.Unlock()
	copy(s.watermarks, t.Watermarks)
	s.forgotten, s.runs = f, nil
	for _, r := range t.Runs {
		s.takeRun(r, h.session)
	}
	return nil
}

func (s *shard) takeRun(r HandedRun, session func(id [16]byte) uint64) {
	if s.runs == nil {
		s.runs = map[uint64]run{}
	}
	if _, ok := s.runs[r.Hash]; !ok && len(s.runs) >= runsPerShard {
		return
	}
	x := &ring.Exclusion{ID: r.Exclude}
	if session != nil {
		x.Session = session(r.Exclude)
	}
	s.runs[r.Hash] = run{floor: r.Floor, upto: r.Upto, exclusion: x}
}

// take goes on with the order of another hub, of which nothing is known up to floor.
func (j *journal) take(order []HandedPublication, floor uint64) {
	if j.now.Load() == nil {
		return // this hub records none
	}
	for i := range order {
		k := &order[i]
		j.put(k.Sequence, k.Channel, k.Also, 1<<40) // what is too much, the other has dropped
	}
	p := j.now.Load()
	drop := 0
	for drop < len(p.segments) && p.segments[drop].used.Load() == segmentEntries && p.segments[drop].entries[segmentEntries-1].sequence <= floor {
		drop++
	}
	j.now.Store(&publications{floor: max(p.floor, floor), segments: p.segments[drop:]})
}

// Settle ends the hand-over, when everything was imported and restored, and subscribers have joined: channels that have
// neither these nor history are forgotten.
func (h *Hub) Settle() {
	h.order.Lock()
	defer h.order.Unlock()
	t := h.taking
	if t == nil {
		return
	}
	h.taking = nil
	if !t.recorded {
		h.journal.lose(h.head.Load())
	}
	for _, c := range t.channels {
		hash := h.hashOf(c)
		s := h.shardOf(hash)
		s.mu.Lock()
		if s.channels.Get(hash, c.name()) == c {
			c.subscribers--
			s.subscribers--
			h.forgetIdleLocked(s, hash, c)
		}
		s.mu.Unlock()
	}
	h.evict()
}

package trace

import "unsafe"

// What one of them is charged with. A text has two string headers, a place in a map and one in a
// slice beside its bytes; a life its place in slots, too.
const (
	lifeBytes    = int(unsafe.Sizeof(life{})) + 4
	nodeBytes    = int(unsafe.Sizeof(node{}))
	textOverhead = 80
)

// mostNodes is how many a life may have: then it forgets the oldest that are over. One with more channels than
// that is recorded without any: each would cost a look at all others.
const mostNodes = 512

// texts are strings that many lives and nodes have, by number. 0 is the empty one.
type texts struct {
	numbers map[string]uint32
	all     []text
	free    []uint32
	bytes   int
}

type text struct {
	text string
	uses int
}

// use returns the number of s, which is used once more.
func (t *texts) use(s string) uint32 {
	if s == "" {
		return 0
	}
	if n, ok := t.numbers[s]; ok {
		t.all[n].uses++
		return n
	}
	var n uint32
	if k := len(t.free); k > 0 {
		n, t.free = t.free[k-1], t.free[:k-1]
	} else {
		n = uint32(len(t.all))
		t.all = append(t.all, text{})
	}
	own := string(append([]byte(nil), s...)) // s may be a part of a request
	t.all[n] = text{own, 1}
	t.numbers[own] = n
	t.bytes += len(own) + textOverhead
	return n
}

// drop takes one use of n back.
func (t *texts) drop(n uint32) {
	if n == 0 {
		return
	}
	e := &t.all[n]
	if e.uses--; e.uses > 0 {
		return
	}
	t.bytes -= len(e.text) + textOverhead
	delete(t.numbers, e.text)
	*e = text{}
	t.free = append(t.free, n)
}

func (t *texts) of(n uint32) string { return t.all[n].text }

// list has lives in order, by number; 0 is none.
type list struct {
	oldest, newest uint32
	count          int
}

func (r *Record) push(l *list, i uint32) {
	e := r.life(i)
	e.older, e.newer = l.newest, 0
	if l.newest != 0 {
		r.life(l.newest).newer = i
	} else {
		l.oldest = i
	}
	l.newest = i
	l.count++
}

func (r *Record) remove(l *list, i uint32) {
	e := r.life(i)
	if e.older != 0 {
		r.life(e.older).newer = e.newer
	} else {
		l.oldest = e.newer
	}
	if e.newer != 0 {
		r.life(e.newer).older = e.older
	} else {
		l.newest = e.older
	}
	l.count--
}

func (r *Record) life(i uint32) *life { return &r.lives[i>>slabBits][i&(1<<slabBits-1)] }
func (r *Record) node(i uint32) *node { return &r.nodes[i>>slabBits][i&(1<<slabBits-1)] }

// bytes is what the record is charged with now.
func (r *Record) bytes() int {
	return (r.live.count+r.over.count+r.refused.count)*lifeBytes + r.nodeCount*nodeBytes + r.texts.bytes
}

// room makes room for bytes and a number of lives, by forgetting lives that are over. It reports
// whether there is room then.
func (r *Record) room(lives, bytes int) bool {
	for r.live.count+r.over.count+r.refused.count+lives > r.config.Lives || r.bytes()+bytes > r.config.Bytes {
		switch {
		case r.refused.count > 0 && (r.refused.count > r.config.Lives/8 || r.over.count == 0):
			r.forget(&r.refused, r.refused.oldest)
		case r.over.count > 0:
			r.forget(&r.over, r.over.oldest)
		default:
			return false
		}
	}
	return true
}

// text uses s, if there is room for it; else 0, which says nothing.
func (r *Record) text(s string) uint32 {
	if _, ok := r.texts.numbers[s]; !ok && !r.room(0, len(s)+textOverhead) {
		return 0
	}
	return r.texts.use(s)
}

// newLife returns the number of a new life, or 0.
func (r *Record) newLife() uint32 {
	if n := len(r.freeLives); n > 0 {
		i := r.freeLives[n-1]
		r.freeLives = r.freeLives[:n-1]
		return i
	}
	if r.usedLives == 0 {
		r.usedLives = 1 // 0 is none
	}
	i := r.usedLives
	r.usedLives++
	if int(i>>slabBits) == len(r.lives) {
		r.lives = append(r.lives, new(lifeSlab))
	}
	return i
}

// newNode adds a node to a life. nil: there is no room.
func (r *Record) newNode(l *life, channel string) *node {
	if l.nodes >= mostNodes && !r.forgetOldest(l) {
		r.dropNodes(l)
		l.flags |= flagWide
	}
	if l.flags&flagWide != 0 || !r.room(0, nodeBytes+len(channel)+textOverhead) {
		l.flags |= flagLossy
		return nil
	}
	var i uint32
	if n := len(r.freeNodes); n > 0 {
		i, r.freeNodes = r.freeNodes[n-1], r.freeNodes[:n-1]
	} else {
		if r.usedNodes == 0 {
			r.usedNodes = 1
		}
		i = r.usedNodes
		r.usedNodes++
		if int(i>>slabBits) == len(r.nodes) {
			r.nodes = append(r.nodes, new(nodeSlab))
		}
	}
	k := r.node(i)
	*k = node{next: l.first, channel: r.texts.use(channel)}
	l.first = i
	l.nodes++
	r.nodeCount++
	return k
}

// dropNodes takes all nodes from a life.
func (r *Record) dropNodes(l *life) {
	for n := l.first; n != 0; {
		next := r.node(n).next
		r.freeNode(n)
		n = next
	}
	l.first, l.nodes = 0, 0
}

// forgetOldest takes the oldest node that is over from a life. It reports whether there was one.
func (r *Record) forgetOldest(l *life) bool {
	var found, before, last uint32
	for i := l.first; i != 0; last, i = i, r.node(i).next {
		if !r.node(i).open {
			found, before = i, last
		}
	}
	if found == 0 {
		return false
	}
	k := r.node(found)
	l.forgotten = max(l.forgotten, k.upto, k.unsure, k.end, k.head)
	if before == 0 {
		l.first = k.next
	} else {
		r.node(before).next = k.next
	}
	l.nodes--
	r.freeNode(found)
	return true
}

func (r *Record) freeNode(i uint32) {
	k := r.node(i)
	r.texts.drop(k.channel)
	r.texts.drop(k.code)
	*k = node{}
	r.freeNodes = append(r.freeNodes, i)
	r.nodeCount--
}

// forget drops a life that is over.
func (r *Record) forget(from *list, i uint32) {
	l := r.life(i)
	r.remove(from, i)
	if l.flags&flagRefused != 0 {
		r.refusedHorizon = max(r.refusedHorizon, l.ended)
	} else {
		r.horizon = max(r.horizon, l.ended)
	}
	r.dropNodes(l)
	r.texts.drop(l.name)
	r.texts.drop(l.how)
	*l = life{}
	r.freeLives = append(r.freeLives, i)
	r.stats.Forgotten++
}

package simulation_test

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"peal/server/log/file"
)

var (
	errOff   = errors.New("the machine is off")
	errSpace = unix.ENOSPC
	errIO    = errors.New("input/output error")
)

// platter is a directory that outlives the power: of what was not synced, any
// part up to some point may be there afterwards.
type platter struct {
	rnd   *rand.Rand
	names map[string]*content // as programs see them
	safe  map[string]*content // as they are after a power loss
	moves []func(map[string]*content)
	lies  bool // planted: a sync does nothing
}

// content is one file. history is what it was after each change since the last
// sync, which left history[0].
type content struct{ history [][]byte }

func (c *content) now() []byte     { return c.history[len(c.history)-1] }
func (c *content) change(b []byte) { c.history = append(c.history, b) }
func (c *content) sync()           { c.history = [][]byte{c.now()} }

func newPlatter(rnd *rand.Rand) *platter {
	return &platter{rnd: rnd, names: map[string]*content{}, safe: map[string]*content{}}
}

// copy returns how to put back the files as they are now.
func (p *platter) copy() (restore func()) {
	files := map[string][]byte{}
	for name, c := range p.names {
		files[name] = c.now()
	}
	return func() {
		p.names, p.safe, p.moves = map[string]*content{}, map[string]*content{}, nil
		for name, b := range files {
			c := &content{history: [][]byte{b}}
			p.names[name], p.safe[name] = c, c
		}
	}
}

func (p *platter) move(m func(map[string]*content)) {
	m(p.names)
	p.moves = append(p.moves, m)
}

// powerLoss leaves what is safe, and some of the rest. A change may be there in part.
func (p *platter) powerLoss() {
	for _, m := range p.moves[:p.rnd.IntN(len(p.moves)+1)] {
		m(p.safe)
	}
	p.moves = nil
	p.names = map[string]*content{}
	for _, name := range slices.Sorted(maps.Keys(p.safe)) {
		c := p.safe[name]
		n := p.rnd.IntN(len(c.history))
		b := c.history[n]
		if n+1 < len(c.history) && len(c.history[n+1]) > len(b) {
			b = c.history[n+1][:len(b)+p.rnd.IntN(len(c.history[n+1])-len(b))]
		}
		c.history = [][]byte{b}
		p.names[name] = c
	}
}

// mount is a platter as one life of the server has it. Where the writer of the
// log works on its own goroutine it waits at the gate, so that the world says
// when it goes on.
type mount struct {
	p    *platter
	gate chan struct{}

	mu      sync.Mutex // the world's goroutine and the writer's, which take turns
	gated   bool
	off     bool
	full    bool
	failing bool
	failed  bool // it was full, or has failed
}

func newMount(p *platter) *mount { return &mount{p: p, gate: make(chan struct{})} }

// set changes what the mount does from now on.
func (m *mount) set(change func(m *mount)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

// pass lets the writer do one thing, if it waits at the gate.
func (m *mount) pass() {
	select {
	case m.gate <- struct{}{}:
		synctest.Wait()
	default:
	}
}

// enter is the beginning of each change. m.mu is held when it returns nil.
func (m *mount) enter() error {
	m.mu.Lock()
	if m.gated {
		m.mu.Unlock()
		<-m.gate // closed for good when the life ends
		m.mu.Lock()
	}
	if m.off {
		m.mu.Unlock()
		return errOff
	}
	if m.failing && m.p.rnd.IntN(3) == 0 {
		m.failed = true
		m.mu.Unlock()
		return errIO
	}
	return nil
}

func (m *mount) Create(name string) (file.File, error) {
	if err := m.enter(); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	c := &content{history: [][]byte{nil}}
	m.p.move(func(names map[string]*content) { names[name] = c })
	return &mounted{m, c}, nil
}

func (m *mount) Rename(from, to string) error {
	if err := m.enter(); err != nil {
		return err
	}
	defer m.mu.Unlock()
	c := m.p.names[from]
	if c == nil {
		return fs.ErrNotExist
	}
	m.p.move(func(names map[string]*content) { delete(names, from); names[to] = c })
	return nil
}

func (m *mount) Remove(name string) error {
	if err := m.enter(); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if m.p.names[name] == nil {
		return fs.ErrNotExist
	}
	m.p.move(func(names map[string]*content) { delete(names, name) })
	return nil
}

func (m *mount) SyncDir() error {
	if err := m.enter(); err != nil {
		return err
	}
	defer m.mu.Unlock()
	for _, move := range m.p.moves {
		move(m.p.safe)
	}
	m.p.moves = nil
	return nil
}

func (m *mount) Present(name string, f file.File) error {
	if m.p.names[name] != f.(*mounted).c {
		return fs.ErrNotExist
	}
	return nil
}

func (m *mount) Reopen() error { return nil }

func (m *mount) List() ([]string, error) { return slices.Sorted(maps.Keys(m.p.names)), nil }

func (m *mount) Lock() (func() error, error) { return func() error { return nil }, nil }

func (m *mount) Open(name string) (file.Reader, error) {
	c := m.p.names[name]
	if c == nil {
		return nil, fs.ErrNotExist
	}
	return &mountedReader{m: m, c: c}, nil
}

// mounted is a file being written.
type mounted struct {
	m *mount
	c *content
}

func (f *mounted) Write(b []byte) (int, error) {
	if err := f.m.enter(); err != nil {
		return 0, err
	}
	defer f.m.mu.Unlock()
	n, err := len(b), error(nil)
	if f.m.full {
		n, err = f.m.p.rnd.IntN(len(b)+1), errSpace
		f.m.failed = true
	}
	f.c.change(append(slices.Clone(f.c.now()), b[:n]...))
	return n, err
}

func (f *mounted) Sync() error {
	if err := f.m.enter(); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	if !f.m.p.lies {
		f.c.sync()
	}
	return nil
}

func (f *mounted) Truncate(size int64) error {
	if err := f.m.enter(); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	f.c.change(f.c.now()[:size:size])
	return nil
}

func (f *mounted) Close() error { return nil }

// mountedReader is a file being read.
type mountedReader struct {
	m  *mount
	c  *content
	at int64
}

func (r *mountedReader) Read(b []byte) (int, error) {
	if r.at >= int64(len(r.c.now())) {
		return 0, io.EOF
	}
	n := copy(b, r.c.now()[r.at:])
	r.at += int64(n)
	return n, nil
}

func (r *mountedReader) Seek(offset int64, _ int) (int64, error) { r.at = offset; return offset, nil }
func (r *mountedReader) Size() (int64, error)                    { return int64(len(r.c.now())), nil }
func (r *mountedReader) Close() error                            { return nil }

func (r *mountedReader) Cut(size int64) error {
	f := &mounted{r.m, r.c}
	return errors.Join(f.Truncate(size), f.Sync())
}

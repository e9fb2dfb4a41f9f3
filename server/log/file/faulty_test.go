package file_test

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"peal/server/log/file"
)

var (
	errDead  = errors.New("the machine is off")
	errSpace = unix.ENOSPC
	errIO    = errors.New("input/output error")
	errAway  = errors.New("the directory is somewhere else")
)

// faulty is a directory in memory that keeps apart what programs see and what
// would be there after a power failure: of what was not synced in a file, any
// prefix; of the changes of names, any. It can be told to fail.
type faulty struct {
	mu     sync.Mutex
	random *rand.Rand
	names  map[string]*inode // what programs see
	lasts  map[string]*inode // what is durable
	moves  []move            // changes of names since the last SyncDir
	locked bool

	// Faults.
	dead     int     // operations until the machine is off; negative for never
	room     int     // bytes that still fit; negative for no end
	failing  float64 // how often a sync, truncate, rename or remove fails
	lying    bool    // syncs do nothing: the planted bug of showing what is not synced
	lyingFor string  // likewise, of the file that gets that name
	away     bool    // the directory was moved: programs that have it open do not notice
	deleted  bool    // the directory was deleted
}

// inode is the content of a file.
type inode struct {
	now     []byte
	durable []byte
	changes []change // since the last sync
}

// change is an append, or a truncation where data is nil.
type change struct {
	data []byte
	size int
}

// move is a change of a name: to is set to what, from is gone.
type move struct {
	from, to string
	what     *inode
}

func newFaulty(random *rand.Rand) *faulty {
	return &faulty{random: random, names: map[string]*inode{}, lasts: map[string]*inode{}, dead: -1, room: -1}
}

// step counts an operation, and says why it fails. f.mu is held.
func (f *faulty) step() error {
	switch {
	case f.dead == 0:
		return errDead
	case f.dead > 0:
		f.dead--
	}
	return nil
}

func (f *faulty) mayFail() error {
	if err := f.step(); err != nil {
		return err
	}
	if f.failing > 0 && f.random.Float64() < f.failing {
		return errIO
	}
	return nil
}

func (m move) apply(names map[string]*inode) {
	delete(names, m.from)
	if m.to != "" {
		names[m.to] = m.what
	}
}

func (f *faulty) move(m move) {
	m.apply(f.names)
	f.moves = append(f.moves, m)
}

// kill ends the process and keeps what the kernel has.
func (f *faulty) kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.locked, f.dead, f.away = false, -1, false
}

// powerLoss ends the machine: some of what was not synced is gone.
func (f *faulty) powerLoss() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.moves {
		if f.random.IntN(2) == 0 {
			m.apply(f.lasts)
		}
	}
	f.moves = nil
	f.names = map[string]*inode{}
	for name, n := range f.lasts {
		n.lose(f.random)
		f.names[name] = n
	}
	f.locked, f.dead, f.away = false, -1, false
}

func (n *inode) lose(random *rand.Rand) {
	kept := n.durable
	changes := n.changes[:random.IntN(len(n.changes)+1)]
	for i, c := range changes {
		data := c.data
		if i == len(changes)-1 && data != nil {
			data = data[:random.IntN(len(data)+1)]
		}
		kept = change{data, c.size}.apply(kept)
	}
	n.now, n.durable, n.changes = kept, kept, nil
}

func (c change) apply(b []byte) []byte {
	if c.data == nil {
		return b[:min(c.size, len(b)):min(c.size, len(b))]
	}
	return append(b[:len(b):len(b)], c.data...)
}

func (n *inode) sync() { n.durable, n.changes = n.now, nil }

func (f *faulty) Create(name string) (file.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.mayFail(); err != nil {
		return nil, err
	}
	if f.deleted {
		return nil, fs.ErrNotExist
	}
	n := &inode{}
	f.move(move{to: name, what: n})
	return &faultyFile{f: f, n: n, failed: f.lyingFor != "" && strings.HasPrefix(name, f.lyingFor)}, nil
}

func (f *faulty) Open(name string) (file.Reader, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.names[name]
	if n == nil {
		return nil, fs.ErrNotExist
	}
	return &faultyReader{f: f, n: n}, f.step()
}

func (f *faulty) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.mayFail(); err != nil {
		return err
	}
	n := f.names[from]
	if n == nil {
		return fs.ErrNotExist
	}
	f.move(move{from, to, n})
	return nil
}

func (f *faulty) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.mayFail(); err != nil {
		return err
	}
	if f.names[name] == nil {
		return fs.ErrNotExist
	}
	f.move(move{from: name})
	return nil
}

func (f *faulty) List() (names []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name := range f.names {
		names = append(names, name)
	}
	return names, f.step()
}

func (f *faulty) SyncDir() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.mayFail(); err != nil {
		return err
	}
	for _, m := range f.moves {
		m.apply(f.lasts)
	}
	f.moves = nil
	return nil
}

func (f *faulty) Present(name string, file file.File) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away || f.deleted || f.names[name] != file.(*faultyFile).n {
		return errAway
	}
	return f.step()
}

func (f *faulty) Reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away || f.deleted {
		return fs.ErrNotExist
	}
	return f.step()
}

// remove deletes the directory; what has files open can still write to them.
func (f *faulty) remove() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names, f.lasts, f.moves, f.deleted = map[string]*inode{}, map[string]*inode{}, nil, true
}

// remake makes an empty directory in the place of the deleted one.
func (f *faulty) remake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deleted = false
}

// restore puts back what of has.
func (f *faulty) restore(of *faulty) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names, f.lasts, f.moves = map[string]*inode{}, map[string]*inode{}, nil
	for name, n := range of.names {
		f.put(name, n.now)
	}
}

func (f *faulty) Lock() (func() error, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.locked {
		return nil, file.ErrLocked
	}
	f.locked = true
	return func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.locked = false
		return nil
	}, f.step()
}

type faultyFile struct {
	f      *faulty
	n      *inode
	failed bool // a sync
}

// Write takes what fits, and where the machine goes off a part.
func (w *faultyFile) Write(b []byte) (n int, err error) {
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	if w.f.dead == 1 {
		w.append(b[:w.f.random.IntN(len(b)+1)])
	}
	if err := w.f.step(); err != nil {
		return 0, err
	}
	if w.f.dead == 0 {
		return 0, errDead
	}
	if w.f.room >= 0 && len(b) > w.f.room {
		w.append(b[:w.f.room])
		return w.f.room, errSpace
	}
	if w.f.room > 0 {
		w.f.room -= len(b)
	}
	w.append(b)
	return len(b), nil
}

func (w *faultyFile) append(b []byte) { w.change(change{data: append([]byte{}, b...)}) }

func (w *faultyFile) change(c change) {
	w.n.now = c.apply(w.n.now)
	w.n.changes = append(w.n.changes, c)
}

// Sync that has failed may have synced nothing, and the next one says that all
// is well and does nothing: so it is with Linux.
func (w *faultyFile) Sync() error {
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	if err := w.f.mayFail(); err != nil {
		w.failed = true
		return err
	}
	if !w.f.lying && !w.failed {
		w.n.sync()
	}
	return nil
}

func (w *faultyFile) Truncate(size int64) error {
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	if err := w.f.mayFail(); err != nil {
		return err
	}
	w.change(change{size: int(size)})
	return nil
}

func (w *faultyFile) Close() error { return nil }

type faultyReader struct {
	f  *faulty
	n  *inode
	at int
}

func (r *faultyReader) Read(b []byte) (int, error) {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	if r.at >= len(r.n.now) {
		return 0, io.EOF
	}
	n := copy(b, r.n.now[r.at:])
	r.at += n
	return n, r.f.step()
}

func (r *faultyReader) Seek(offset int64, _ int) (int64, error) {
	r.at = int(offset)
	return offset, nil
}

func (r *faultyReader) Size() (int64, error) { return int64(len(r.n.now)), nil }

func (r *faultyReader) Cut(size int64) error {
	w := &faultyFile{f: r.f, n: r.n}
	return errors.Join(w.Truncate(size), w.Sync())
}

func (r *faultyReader) Close() error { return nil }

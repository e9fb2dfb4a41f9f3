package file

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"

	"peal/server/log"
)

// The state of control beside the segments, so that retention never removes what
// orders have led to (log.State). It is one file, which is replaced as a whole: it
// stands for all control entries up to a sequence. Those behind that are restored on
// top of it. Where the end of the log was lost, and that sequence with it, the start
// saves the state again: the numbers will be given again.
//
// A log has its state from its first start on, also while there were no orders. So a
// start without it, or one that stands for more than the log has, cannot know what
// was ordered: log.State.Lost.
//
//	│ magic 8 │ version 4 │ upto 8 │ length 8 │ state: length bytes │ checksum 4 │
//
// The checksum is of all before it.

const (
	stateName       = "state"
	stateMagic      = "PEALSTA\n"
	stateVersion    = 1
	stateBytes      = 8 + 4 + 8 + 8 // before the state
	stateCheckBytes = 4
)

func appendState(dst, state []byte, upto uint64) []byte {
	start := len(dst)
	le := binary.LittleEndian
	dst = append(dst, stateMagic...)
	dst = le.AppendUint32(dst, stateVersion)
	dst = le.AppendUint64(dst, upto)
	dst = le.AppendUint64(dst, uint64(len(state)))
	dst = append(dst, state...)
	return le.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

func parseState(b []byte) (state []byte, upto uint64, err error) {
	le := binary.LittleEndian
	if len(b) < stateBytes+stateCheckBytes || string(b[:len(stateMagic)]) != stateMagic {
		return nil, 0, errors.New("it does not begin like a state, or is cut short")
	}
	if v := le.Uint32(b[8:]); v != stateVersion {
		return nil, 0, fmt.Errorf("%w: %d, this one reads %d", errVersion, v, stateVersion)
	}
	if le.Uint64(b[20:]) != uint64(len(b)-stateBytes-stateCheckBytes) {
		return nil, 0, errors.New("its length is wrong")
	}
	end := len(b) - stateCheckBytes
	if le.Uint32(b[end:]) != crc32.Checksum(b[:end], castagnoli) {
		return nil, 0, errors.New("its checksum is wrong")
	}
	return b[stateBytes:end], le.Uint64(b[12:]), nil
}

// readState reads what was saved last; found is false if nothing was.
func readState(files files, dir string) (state []byte, upto uint64, found bool, err error) {
	path := filepath.Join(dir, stateName)
	r, err := files.Open(stateName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, false, nil
	}
	if err != nil {
		return nil, 0, false, fmt.Errorf("log: open %s: %w", path, err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, 0, false, fmt.Errorf("log: read %s: %w", path, err)
	}
	state, upto, err = parseState(b)
	switch {
	case errors.Is(err, errVersion):
		return nil, 0, true, fmt.Errorf("log: %s: %w", path, err)
	case err != nil:
		return nil, 0, true, &DamageError{path, 0, err.Error()}
	}
	return state, upto, true, nil
}

// Keep has the log keep s: it is loaded by Start, and saved before retention removes
// control entries. Call it before Start, or not at all.
func (l *Log) Keep(s log.State) { l.state = s }

// load gives the state what was saved last.
func (l *Log) load() error {
	if l.state == nil {
		return nil
	}
	state, upto, found, err := readState(l.files, l.dir)
	if err != nil || !found {
		return err
	}
	l.stateThere, l.saved = true, upto
	if err := l.state.Load(state, upto); err != nil {
		return &DamageError{filepath.Join(l.dir, stateName), 0, err.Error()}
	}
	return nil
}

// save writes the state, which stands for all entries up to Head. It is durable when
// save returns nil; else what was saved before is still there.
func (l *Log) save() error {
	if l.state == nil {
		return nil
	}
	upto := l.head.Load() // first: what comes meanwhile may be in the state or not
	f, err := createWhole(l.files, stateName, appendState(nil, l.state.Save(), upto))
	if err != nil {
		return err
	}
	l.stateThere = true
	if err := f.Close(); err != nil {
		return err
	}
	l.saved = upto
	return nil
}

// lost is why orders of earlier lives may be missing, "" if none are known to be. A
// torn end is what a power failure leaves, which loses entries that were acknowledged
// unless each was synced before.
func (l *Log) lost() string {
	switch {
	case !l.stateThere && l.head.Load() == 0:
		return "the log is new"
	case !l.stateThere:
		return "the file state is missing"
	case l.saved > l.head.Load():
		return "the end of the log was lost"
	case l.config.Fsync != Always && l.torn() > 0:
		return "the end of the log is torn"
	}
	return ""
}

// torn is how many bytes at the end of the segments that were found are no record.
func (l *Log) torn() int64 {
	if len(l.found) == 0 {
		return 0
	}
	last := l.found[len(l.found)-1]
	if last.closed {
		return 0
	}
	return last.size - last.end
}

// judge tells the state, which is loaded and restored, if it may be incomplete.
func (l *Log) judge() {
	if l.state == nil {
		return
	}
	if why := l.lost(); why != "" {
		l.incomplete = true
		l.state.Lost(why)
	}
}

// settle saves a state that may be incomplete, before anything is appended: from then
// on it is the state of this log. Otherwise there is one already.
func (l *Log) settle() error {
	if !l.incomplete {
		return nil
	}
	return l.save()
}

// saveFor saves the state if that is what allows p to be removed.
func (l *Log) saveFor(p past) error {
	if p.control <= l.saved {
		return nil
	}
	err := l.save()
	switch {
	case err == nil:
		l.stateFailed = false
	case !l.stateFailed:
		l.stateFailed = true
		l.config.Log.Warn("the state of disconnected clients could not be saved: old segments of the log stay until it can", "file", filepath.Join(l.dir, stateName), "error", err)
	}
	return err
}

package upgrade

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// MostDescriptors is how many descriptors one frame carries. The kernel takes 253.
const MostDescriptors = 128

// mostBytes is the length of the largest frame: 128 connections with 64 KiB of input each,
// and what waits for their sockets.
const mostBytes = 64 << 20

// kind is what a frame means.
type kind uint8

const (
	kindManifest kind = iota + 1
	kindReady
	kindRefused
	kindPart
	kindAhead
	kindConnections
	kindTaken // the frame before was taken: the next one may come
	kindTotals
	kindPrepared
	kindCommit
	kindBegun
)

var kinds = [...]string{kindManifest: "manifest", kindReady: "ready", kindRefused: "refused", kindPart: "part", kindAhead: "connections ahead", kindConnections: "connections",
	kindTaken: "taken", kindTotals: "totals", kindPrepared: "prepared", kindCommit: "commit", kindBegun: "begun"}

func (k kind) String() string {
	if k == 0 || int(k) >= len(kinds) {
		return fmt.Sprintf("unknown frame %d", uint8(k))
	}
	return kinds[k]
}

// headerBytes: the kind, the number of descriptors, the length of the value.
const headerBytes = 1 + 1 + 4

// Link is one end of the Unix stream socket between two processes.
type Link struct {
	conn *net.UnixConn
	oob  []byte
}

// Pair returns a Link and the other end of it, for the new process.
func Pair() (*Link, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	other := os.NewFile(uintptr(fds[1]), "upgrade")
	l, err := NewLink(os.NewFile(uintptr(fds[0]), "upgrade"))
	if err != nil {
		return nil, nil, errors.Join(err, other.Close())
	}
	return l, other, nil
}

// NewLink makes a Link of an end, which it closes.
func NewLink(end *os.File) (*Link, error) {
	defer end.Close()
	c, err := net.FileConn(end)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", end.Name(), err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%s is a %T: must be a Unix socket", end.Name(), c), c.Close())
	}
	return &Link{conn: u, oob: make([]byte, unix.CmsgSpace(4*MostDescriptors))}, nil
}

// Close ends the conversation.
func (l *Link) Close() error { return l.conn.Close() }

// limit is how long what follows may take altogether; 0 is no limit.
func (l *Link) limit(d time.Duration) error {
	if d == 0 {
		return l.conn.SetDeadline(time.Time{})
	}
	return l.conn.SetDeadline(time.Now().Add(d))
}

// send sends a frame with copies of the descriptors. value may be nil.
func (l *Link) send(k kind, value any, descriptors []int) error {
	_, err := l.sendCounted(k, value, descriptors)
	return err
}

// sendCounted is send, and returns how many bytes it has sent.
func (l *Link) sendCounted(k kind, value any, descriptors []int) (sent int, err error) {
	if len(descriptors) > MostDescriptors {
		return 0, fmt.Errorf("%d descriptors in one frame: at most %d", len(descriptors), MostDescriptors)
	}
	var b bytes.Buffer
	b.Write(make([]byte, headerBytes))
	if value != nil {
		if err := gob.NewEncoder(&b).Encode(value); err != nil {
			return 0, fmt.Errorf("send %v: %w", k, err)
		}
	}
	if b.Len()-headerBytes > mostBytes {
		return 0, fmt.Errorf("send %v: %d bytes in one frame: at most %d", k, b.Len()-headerBytes, mostBytes)
	}
	frame := b.Bytes()
	frame[0], frame[1] = byte(k), byte(len(descriptors))
	binary.BigEndian.PutUint32(frame[2:], uint32(len(frame)-headerBytes))
	if len(descriptors) > 0 {
		n, _, err := l.conn.WriteMsgUnix(frame[:headerBytes], unix.UnixRights(descriptors...), nil)
		if err != nil {
			return 0, fmt.Errorf("send %v with %d descriptors: %w", k, len(descriptors), err)
		}
		frame = frame[n:]
	}
	if _, err := l.conn.Write(frame); err != nil {
		return 0, fmt.Errorf("send %v: %w", k, err)
	}
	return b.Len(), nil
}

// frame is one that has come. Its descriptors are the receiver's.
type frame struct {
	kind        kind
	value       []byte
	descriptors []int
}

// decode reads the value into to.
func (f *frame) decode(to any) error {
	if err := gob.NewDecoder(bytes.NewReader(f.value)).Decode(to); err != nil {
		return fmt.Errorf("read %v: %w", f.kind, err)
	}
	return nil
}

// receive waits for the next frame. After an error the link is of no use; no descriptors
// are left over. io.EOF: the other process has gone.
func (l *Link) receive() (f frame, err error) {
	header := make([]byte, headerBytes)
	n, descriptors, err := l.readHeader(header)
	defer func() {
		if err != nil {
			closeAll(descriptors)
		}
	}()
	if err != nil {
		return f, err
	}
	if _, err = io.ReadFull(l.conn, header[n:]); err != nil {
		return f, cut(err)
	}
	f.kind = kind(header[0])
	length := binary.BigEndian.Uint32(header[2:])
	switch {
	case length > mostBytes:
		return f, fmt.Errorf("%v of %d bytes: at most %d", f.kind, length, mostBytes)
	case int(header[1]) != len(descriptors):
		return f, fmt.Errorf("%v came with %d descriptors instead of %d (is the limit of open files reached?)", f.kind, len(descriptors), header[1])
	}
	f.value = make([]byte, length)
	if _, err = io.ReadFull(l.conn, f.value); err != nil {
		return f, cut(err)
	}
	f.descriptors = descriptors
	return f, nil
}

// readHeader reads the first bytes of a frame, and the descriptors, which come with them.
func (l *Link) readHeader(b []byte) (n int, descriptors []int, err error) {
	n, oobn, flags, _, err := l.conn.ReadMsgUnix(b, l.oob)
	if err != nil {
		return n, nil, err
	}
	if n == 0 && oobn == 0 {
		return 0, nil, io.EOF
	}
	messages, err := unix.ParseSocketControlMessage(l.oob[:oobn])
	if err != nil {
		return n, nil, fmt.Errorf("descriptors: %w", err)
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return n, descriptors, fmt.Errorf("descriptors: %w", err)
		}
		descriptors = append(descriptors, fds...)
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return n, descriptors, errors.New("descriptors were cut off: the limit of open files is reached (LimitNOFILE=, ulimit -n)")
	}
	return n, descriptors, nil
}

// cut makes an end in the middle of a frame an error of its own.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the other process ended in the middle of a frame: %w", io.ErrUnexpectedEOF)
	}
	return err
}

func closeAll(descriptors []int) {
	for _, fd := range descriptors {
		unix.Close(fd)
	}
}

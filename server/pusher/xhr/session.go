package xhr

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"peal/loop"
	"peal/loop/frame"
	"peal/server/share"
)

// Limits of what a client has sent and its loop has not taken yet.
const (
	maxWaiting      = 64        // messages
	maxWaitingBytes = 256 << 10 // bytes of them
)

// Room carries out what clients send: a room.Room. On its loop.
type Room interface {
	Message(c loop.Client, binary bool, payload []byte)
}

// Start makes a socket the stream of a session, on a loop: loop.Group.Adopt. It must call
// Session.Begun before anything is written to the stream.
type Start func(s *Session, socket int)

// Session is one of a client. Its stream is a connection of the server as any other; it is
// longer than the requests by which the client receives. The lines of the stream go through a
// pair of sockets to the goroutine of the session, which reads them while a request is there to
// receive them. Otherwise they stay where those of a slow client stay: in the log.
type Session struct {
	table   *Sessions
	name    Name
	origin  string
	account *share.Account[struct{}]

	waiting, waitingBytes atomic.Int32

	mu    sync.Mutex
	wake  sync.Cond // of mu: to or dead has changed
	file  *os.File  // the end of the pair that is read
	ref   loop.Ref  // of its stream
	room  Room      // of its loop
	to    *Receiver // nil: none receives
	spent *Receiver // a stream that has received all it may, and may be open still
	dead  bool
	idle  *time.Timer // ends the session; stopped while there is a receiver
}

func newSession(t *Sessions, name Name, origin string, start Start) (*Session, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("sockets of a session: %w", err)
	}
	_ = unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_SNDBUF, socketBytes) // the default is larger and works, too
	s := &Session{table: t, name: name, origin: origin, file: os.NewFile(uintptr(pair[1]), "session")}
	s.wake.L = &s.mu
	s.idle = time.AfterFunc(t.limits.Patience, s.expire)
	start(s, pair[0])
	return s, nil
}

// socketBytes is the buffer of the pair. What does not fit stays in the log.
const socketBytes = 16 << 10

// Begun says where the stream of the session is.
func (s *Session) Begun(ref loop.Ref, room Room) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ref, s.room = ref, room
}

// Stream is where the stream of the session is, and who carries out what its client sends.
func (s *Session) Stream() (loop.Ref, Room) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ref, s.room
}

// Enter notes that n messages of so many bytes together are on their way to the loop of the
// session; it reports false if there are too many. Done must follow for each.
func (s *Session) Enter(n, size int) bool {
	messages, all := s.waiting.Add(int32(n)), s.waitingBytes.Add(int32(size))
	if messages > maxWaiting || messages > int32(n) && all > maxWaitingBytes {
		s.waiting.Add(int32(-n))
		s.waitingBytes.Add(int32(-size))
		return false
	}
	return true
}

// Done says that one message of that size has come.
func (s *Session) Done(size int) {
	s.waiting.Add(-1)
	s.waitingBytes.Add(int32(-size))
}

// attach makes r the receiver, unless there is another one. A stream that may receive nothing
// more is ended.
func (s *Session) attach(r *Receiver) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead || s.to != nil {
		return false
	}
	s.idle.Stop()
	r.session, r.gone = s, make(chan struct{})
	s.hangUp()
	s.to = r
	s.wake.Broadcast()
	return true
}

// detach says that r receives nothing more. With mu.
func (s *Session) detach(r *Receiver) {
	if s.to != r {
		return
	}
	s.to = nil
	if !s.dead {
		s.idle.Reset(s.table.limits.Patience)
	}
}

// hangUp ends the connection of a stream that has received all it may. With mu.
func (s *Session) hangUp() {
	if s.spent != nil {
		s.table.door.Do(s.spent.Ref, func(c loop.Client) { c.Close(frame.CloseNormal, "continued by another request") })
		s.spent = nil
	}
}

// lost says that the connection of a receiver has ended.
func (s *Session) lost(r *Receiver) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(r.gone)
	if s.to != r {
		return
	}
	s.detach(r)
	if r.Respond == nil {
		s.end()
	}
}

// forsake answers a poll with nothing.
func (s *Session) forsake(r *Receiver) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.to == r {
		s.detach(r)
		s.table.door.Answer(r.Ref, r.Respond([]byte(Beat)))
	}
}

// expire ends the session if there is still nobody to receive.
func (s *Session) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.to == nil {
		s.end()
	}
}

// End ends the session without another word.
func (s *Session) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end()
}

func (s *Session) end() {
	if s.dead {
		return
	}
	s.dead = true
	s.idle.Stop()
	_ = s.file.Close() // the end of a read, and of the stream
	s.hangUp()
	if r := s.to; r != nil && r.Respond != nil {
		s.table.door.Answer(r.Ref, r.Respond([]byte(lostLine)))
	} else if r != nil {
		s.table.door.Do(r.Ref, func(c loop.Client) { c.Close(frame.CloseTryAgainLater, "the session has ended: connect again") })
	}
	s.to = nil
	s.wake.Broadcast()
}

// receiver waits for a receiver; nil: the session has ended.
func (s *Session) receiver() *Receiver {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.to == nil && !s.dead {
		s.wake.Wait()
	}
	if s.dead {
		return nil
	}
	return s.to
}

// relay brings the lines of the stream to the receivers, until the session ends.
func (s *Session) relay() {
	defer s.End()
	var in source
	lines, begun := []byte(Opened), false // goes out with the first line, when the stream has begun
	for s.receiver() != nil {
		for !in.ended && (!begun || len(lines) == 0) {
			before := len(lines)
			lines = in.read(s.file, lines)
			begun = begun || len(lines) > before
		}
		if in.ended {
			lines = append(lines, in.last()...)
		}
		if lines = s.deliver(lines); in.told { // the client has been sent the end
			return
		}
	}
}

// deliver sends what its receiver takes of lines, and returns the rest.
func (s *Session) deliver(lines []byte) (rest []byte) {
	for len(lines) > 0 {
		r := s.receiver()
		if r == nil {
			return nil
		}
		if r.Respond != nil {
			n, _ := take(lines, pieceBytes)
			s.mu.Lock()
			if s.to == r { // it has not been lost
				s.detach(r)
				s.table.door.Answer(r.Ref, r.Respond(lines[:n]))
				lines = lines[n:]
			}
			s.mu.Unlock()
			s.table.release(r)
			continue
		}
		n, characters := take(lines, StreamBytes-r.sent)
		if !r.send(s.table.door, lines[:n]) {
			continue
		}
		lines = lines[n:]
		if r.sent += characters; r.sent > StreamBytes {
			s.mu.Lock()
			if s.to == r {
				s.detach(r)
				s.spent = r
			}
			s.mu.Unlock()
			s.table.release(r)
		}
	}
	return nil
}

// source reads lines.
type source struct {
	part  []byte // of a line
	size  int    // of the next read
	ended bool
	told  bool // the last line was that of the end
}

// A read is short, because the buffer of the pair is, and because what is read is kept until a client
// takes it.
const leastRead, mostRead = 4 << 10, socketBytes

// read waits for bytes and appends the lines that are whole to dst.
func (in *source) read(f *os.File, dst []byte) []byte {
	in.size = min(max(in.size, leastRead), mostRead)
	at := len(in.part)
	buffer := append(in.part, make([]byte, in.size)...)
	n, err := f.Read(buffer[at:])
	buffer = buffer[:at+n]
	if err != nil {
		in.ended = true
	}
	if in.size = leastRead; n == len(buffer)-at && n >= leastRead {
		in.size = 2 * n
	}
	end := bytes.LastIndexByte(buffer, '\n') + 1
	if whole := buffer[:end]; end > 0 {
		in.told = whole[bytes.LastIndexByte(whole[:end-1], '\n')+1] == 'c'
		dst = append(dst, whole...)
	}
	in.part = append([]byte(nil), buffer[end:]...)
	return dst
}

// last is the line at the end of a stream that has ended without one.
func (in *source) last() []byte {
	if in.told {
		return nil
	}
	in.told = true
	return []byte(lostLine)
}

const lostLine = `c[4100,"the session has ended: connect again"]` + "\n"

package secure_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"io"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/secure"
)

// sealer writes TLS 1.3 records of a client that crypto/tls does not write: RFC 8446 §5.2.
type sealer struct {
	t      testing.TB
	hash   func() hash.Hash
	keyLen int
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// dialSealing makes the handshake with crypto/tls, and gives the keys.
func (r *room) dialSealing() (*client, *sealer) {
	r.t.Helper()
	var log bytes.Buffer
	c := r.dial(func(c *tls.Config) { only(tls.VersionTLS13)(c); c.KeyLogWriter = &log }).shook()
	s := &sealer{t: r.t, hash: sha256.New, keyLen: 16}
	if c.tls.ConnectionState().CipherSuite == tls.TLS_AES_256_GCM_SHA384 {
		s.hash, s.keyLen = sha512.New384, 32
	}
	for line := range strings.Lines(log.String()) {
		if f := strings.Fields(line); f[0] == "CLIENT_TRAFFIC_SECRET_0" {
			secret, err := hex.DecodeString(f[2])
			if err != nil {
				r.t.Fatal(err)
			}
			s.use(secret)
		}
	}
	if s.aead == nil {
		r.t.Skip("another cipher suite than AES-GCM")
	}
	return c, s
}

func (s *sealer) expand(label string, n int) []byte {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len(label)))
	info = append(append(info, label...), 0)
	b, err := hkdf.Expand(s.hash, s.secret, string(info), n)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

func (s *sealer) use(secret []byte) {
	s.secret = secret
	block, err := aes.NewCipher(s.expand("key", s.keyLen))
	if err != nil {
		s.t.Fatal(err)
	}
	s.aead, _ = cipher.NewGCM(block)
	s.iv, s.seq = s.expand("iv", 12), 0
}

// record seals one record of a type.
func (s *sealer) record(typ byte, b []byte) []byte {
	nonce := bytes.Clone(s.iv)
	for i := range 8 {
		nonce[4+i] ^= byte(s.seq >> (56 - 8*i))
	}
	s.seq++
	inner := append(bytes.Clone(b), typ)
	n := len(inner) + s.aead.Overhead()
	head := []byte{23, 3, 3, byte(n >> 8), byte(n)}
	return s.aead.Seal(head, nonce, inner, head)
}

// keyUpdate is a KeyUpdate that asks for one, and changes the keys.
func (s *sealer) keyUpdate() []byte {
	b := s.record(22, []byte{24, 0, 0, 1, 1})
	s.use(s.expand("traffic upd", s.hash().Size()))
	return b
}

func TestKeyUpdates(t *testing.T) {
	r := newRoom(t, 1, nil)
	c, s := r.dialSealing()
	u := c.upper()
	for i := range 200 { // one a second is nobody's flood
		c.s.deliver(s.keyUpdate())
		c.s.deliver(s.record(23, []byte{byte(i)}))
		r.m.elapse(time.Second)
		c.send([]byte{byte(i)}) // its own crypto/tls does not like 17 answers in a row
		c.take(1 << 20)
	}
	if c.send([]byte("still here")); !strings.HasSuffix(string(c.flow().got), "still here") || len(u.got) != 200 || u.closed {
		t.Fatalf("%q; %d bytes, %v", c.got, len(u.got), u.err)
	}
	// In two records, and then behind data in one read.
	update := s.record(22, []byte{24, 0, 0})
	c.s.deliver(update)
	r.m.settle()
	c.s.deliver(s.record(22, []byte{1, 0}))
	s.use(s.expand("traffic upd", s.hash().Size()))
	c.s.deliver(s.record(23, []byte("end")))
	r.m.settle()
	if !strings.HasSuffix(string(u.got), "end") {
		t.Errorf("a KeyUpdate in two records: %v", u.err)
	}
}

func TestFloodsOfRecordsWithoutData(t *testing.T) {
	for name, flood := range map[string]func(s *sealer) []byte{
		"KeyUpdates":                 func(s *sealer) []byte { return s.keyUpdate() },
		"KeyUpdates between data":    func(s *sealer) []byte { return append(s.keyUpdate(), s.record(23, []byte("x"))...) },
		"empty records":              func(s *sealer) []byte { return s.record(23, nil) },
		"empty records between data": func(s *sealer) []byte { return append(s.record(23, nil), s.record(23, []byte("x"))...) },
		"an endless message":         func(s *sealer) []byte { return s.record(22, append([]byte{24, 0, 255, 255}, make([]byte, 1000)...)) },
		"a certificate":              func(s *sealer) []byte { return s.record(22, []byte{11, 0, 0, 0}) },
		"padding":                    func(s *sealer) []byte { return s.record(0, append([]byte{23}, make([]byte, 16000)...)) },
		"change_cipher_spec":         func(*sealer) []byte { return []byte{20, 3, 3, 0, 1, 1} },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t, 1, nil)
			c, s := r.dialSealing()
			c.s.room = len(c.s.out) // it reads nothing
			u := c.upper()
			n := 0
			for ; n < 5000 && !u.closed; n++ {
				c.s.deliver(flood(s))
				if n%7 == 0 {
					r.m.settle()
				}
			}
			r.m.settle()
			if stats := r.layer.Stats(); !u.closed || n > 200 || stats.Broken != 1 || stats.Kept > 16<<10 {
				t.Errorf("closed %v after %d; %+v", u.closed, n, stats)
			}
		})
	}
}

func TestViolationsEndTheConnection(t *testing.T) {
	for name, b := range map[string]func(s *sealer) []byte{
		"noise":            func(*sealer) []byte { return payload(100, 1) },
		"a record changed": func(s *sealer) []byte { b := s.record(23, []byte("hello")); b[8] ^= 1; return b },
		"out of order":     func(s *sealer) []byte { s.seq++; return s.record(23, []byte("hello")) },
		"plain HTTP":       func(*sealer) []byte { return []byte("GET / HTTP/1.1\r\n") },
		"too long":         func(*sealer) []byte { return []byte{23, 3, 3, 0xFF, 0xFF} },
		"an alert":         func(s *sealer) []byte { return s.record(21, []byte{2, 80}) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t, 1, nil)
			c, s := r.dialSealing()
			u := c.upper()
			c.s.deliver(append(s.record(23, []byte("before")), b(s)...))
			r.m.settle()
			if stats := r.layer.Stats(); !u.closed || u.err == nil || string(u.got) != "before" || stats.Broken != 1 {
				t.Errorf("closed %v, %v, got %q; %+v", u.closed, u.err, u.got, stats)
			}
			if c.flow(); name != "an alert" && (c.end == nil || c.end == io.EOF) {
				t.Errorf("the client got no alert: %v", c.end)
			}
		})
	}
}

// TLS 1.2: the client wants a new handshake, as a flood or not.
func TestRenegotiationIsRefused(t *testing.T) {
	r := newRoom(t, 1, nil)
	c := r.dial(only(tls.VersionTLS12)).shook()
	// crypto/tls does not begin one as a client of its own accord: records with other
	// content than data have the same keys, and any will do.
	c.s.deliver([]byte{22, 3, 3, 0, 0x20})
	c.s.deliver(payload(32, 1))
	r.m.settle()
	if u := c.upper(); !u.closed || r.layer.Stats().Broken != 1 {
		t.Errorf("closed %v; %+v", u.closed, r.layer.Stats())
	}
}

// Half a record holds memory, and for no longer than it may.
func TestHalfARecord(t *testing.T) {
	r := newRoom(t, 1, nil)
	c, s := r.dialSealing()
	u := c.upper()
	b := s.record(23, make([]byte, 10000))
	c.s.deliver(b[:9000])
	r.m.settle()
	if n := r.layer.Stats().Input; n < 9000 || n > 12000 {
		t.Errorf("%d bytes of input", n)
	}
	r.m.elapse(20 * time.Second)
	c.s.deliver(b[9000:])
	r.m.elapse(20 * time.Second)
	if len(u.got) != 10000 || u.closed || r.layer.Stats().Input != 0 {
		t.Fatalf("%d bytes, closed %v; %+v", len(u.got), u.closed, r.layer.Stats())
	}
	for range 5 { // there is always a part of one, but always of another
		b = s.record(23, make([]byte, 100))
		c.s.deliver(b[:50])
		r.m.elapse(10 * time.Second)
		c.s.deliver(b[50:])
		r.m.settle()
	}
	if u.closed {
		t.Fatal(u.err)
	}
	u.got, u.most = nil, 10 // and now the loop does not read for a while
	c.s.deliver(append(s.record(23, make([]byte, 100)), s.record(23, make([]byte, 16000))...))
	for !u.stopped {
		r.m.step()
		u.stopped = len(u.got) > 0
	}
	r.m.elapse(100 * time.Second)
	r.m.elapse(100 * time.Second)
	u.most, u.stopped = 0, false
	r.above.read(u)
	if r.m.settle(); u.closed || len(u.got) != 16100 {
		t.Fatalf("%d bytes, %v", len(u.got), u.err)
	}
	c.s.deliver(s.record(23, make([]byte, 100))[:50])
	for range 4 {
		r.m.elapse(25 * time.Second)
	}
	if !u.closed || r.layer.Stats().Stalled != 1 {
		t.Errorf("closed %v; %+v", u.closed, r.layer.Stats())
	}
}

// Beyond InputBytes, those with the most go, with regard to their addresses.
func TestInputIsLimited(t *testing.T) {
	r := newRoom(t, 1, func(c *secure.Config) { c.InputBytes = 256 << 10 })
	honest, s := r.dialSealing()
	b := s.record(23, make([]byte, 10000))
	honest.s.deliver(b[:9000])
	r.m.settle()
	hello := string(clientHello(t, &tls.Config{ServerName: "localhost"}))
	for i := range 100 { // each has less than the honest one
		c := r.m.connect("198.51.100.1:1000")
		r.m.settle()
		if i%2 == 0 {
			c.deliver([]byte("\x16\x03\x01\x20\x00\x01\x00\x30\x00" + strings.Repeat("x", 8000)))
		} else {
			c.deliver([]byte(hello + "\x17\x03\x03\x30\x00" + strings.Repeat("x", 8000)))
		}
		r.m.settle()
		if n := r.layer.Stats().Input; n > 256<<10 {
			t.Fatalf("%d bytes of input", n)
		}
	}
	honest.s.deliver(b[9000:])
	r.m.settle()
	if stats := r.layer.Stats(); len(honest.upper().got) != 10000 || stats.Failed[secure.ReasonMemory] == 0 {
		t.Errorf("the honest one: %d bytes, %v; %+v", len(honest.upper().got), honest.upper().err, stats)
	}
}

// Beyond KeptBytes, those whose sockets take nothing go, with regard to their addresses.
func TestKeptOutputIsLimited(t *testing.T) {
	r := newRoom(t, 1, func(c *secure.Config) { c.KeptBytes = 200 << 10 })
	honest := r.dial(nil).shook()
	honest.s.room = len(honest.s.out)
	honest.send(make([]byte, 1000))
	for range 30 {
		c := r.dialFrom("198.51.100.1:1", nil).shook()
		c.s.room = len(c.s.out)
		c.send(make([]byte, 16000))
		r.m.settle()
		if n := r.layer.Stats().Kept; n > 200<<10 {
			t.Fatalf("%d bytes are kept", n)
		}
	}
	if s := r.layer.Stats(); s.Evicted == 0 || honest.upper().closed {
		t.Errorf("the honest one is closed: %v; %+v", honest.upper().closed, s)
	}
	honest.s.widen(1 << 20)
	if honest.flow(); len(honest.got) != 1000 {
		t.Errorf("the honest one has %d bytes", len(honest.got))
	}
}

// What a full socket has not taken goes out before close_notify and the end.
func TestTheEndWaitsForWhatIsKept(t *testing.T) {
	r := newRoom(t, 1, nil)
	c := r.dial(nil).shook()
	u := c.upper()
	c.s.room = len(c.s.out) + 100
	data := payload(50_000, 1)
	n, full, err := r.above.kernel.Send(u.fd, data)
	if err != nil || !full || n != 16384 {
		t.Fatalf("%d of %d bytes, full %v, %v: one record was to be accepted", n, len(data), full, err)
	}
	if n, full, err := r.above.kernel.Send(u.fd, data[n:]); n != 0 || !full || err != nil {
		t.Errorf("to a full socket: %d bytes, full %v, %v", n, full, err)
	}
	if kept := r.layer.Stats().Kept; kept < 16284 || kept > 20000 {
		t.Errorf("%d bytes are kept", kept)
	}
	r.above.kernel.Shutdown(u.fd)
	if c.s.shut {
		t.Fatal("the end has overtaken what is kept")
	}
	for !c.s.shut {
		before := len(c.got)
		c.take(1000)
		r.m.settle()
		if c.s.closed || len(c.s.out) == 0 && len(c.got) == before && !c.s.shut {
			t.Fatalf("stuck at %d bytes; %+v", len(c.got), r.layer.Stats())
		}
	}
	if c.flow(); !bytes.Equal(c.got, data[:16384]) || c.end != io.EOF {
		t.Errorf("%d bytes and %v", len(c.got), c.end)
	}
}

// A writable event goes up only when nothing is kept.
func TestWritableGoesUpWhenNothingIsKept(t *testing.T) {
	r := newRoom(t, 1, nil)
	c := r.dial(nil).shook()
	u := c.upper()
	c.s.room = len(c.s.out) + 10
	r.above.kernel.Send(u.fd, payload(5000, 1))
	u.full = true
	for i := 0; u.full; i++ {
		if r.layer.Stats().Kept == 0 && i > 0 {
			r.m.settle()
			if u.full {
				t.Fatal("nothing is kept, and the loop was not told")
			}
			break
		}
		c.take(50)
		r.m.settle()
		if !u.full && r.layer.Stats().Kept != 0 {
			t.Fatal("the loop was told although something is kept")
		}
	}
	if c.flow(); len(c.got) != 5000 {
		t.Errorf("%d bytes", len(c.got))
	}
}

// Tasks and deadlines of a connection that is gone do not reach the next one that has
// its descriptor.
func TestADescriptorUsedAgain(t *testing.T) {
	r := newRoom(t, 1, nil)
	c := r.dial(nil)
	c.give(1 << 20)
	for c.upper() == nil || r.layer.Stats().Running == 0 {
		if !r.m.step() {
			t.Fatal("no handshake")
		}
	}
	fd := c.s.fd // a task is under way
	r.above.close(c.upper())
	r.m.now += 9 * time.Second
	next := r.dial(nil)
	if next.s.fd != fd {
		t.Fatal("this test is of one descriptor")
	}
	next.shook()
	r.m.elapse(2 * time.Second)
	next.write([]byte("hello"))
	if next.flow(); string(next.upper().got) != "hello" || next.s.closed {
		t.Errorf("%q, closed %v; %+v", next.upper().got, next.s.closed, r.layer.Stats())
	}
}

// A connection that the loop refuses after its accept leaves nothing behind.
func TestAConnectionThatIsNotAdded(t *testing.T) {
	r := newRoom(t, 1, nil)
	r.above.accept = func(loop.Arrival) bool { return false }
	c := r.m.connect("192.0.2.1:1")
	r.m.settle()
	if !c.closed || r.layer.Stats().Open != 0 {
		t.Fatalf("%+v", r.layer.Stats())
	}
	r.above.accept = nil
	r.plain(c.fd)
	if r.dial(nil).shook(); r.layer.Stats().Open != 1 {
		t.Errorf("%+v", r.layer.Stats())
	}
}

// plain makes a connection without TLS, which is to get the descriptor.
func (r *room) plain(fd int32) {
	r.t.Helper()
	s := r.m.connect("192.0.2.1:1")
	s.from = plainListener
	r.m.settle()
	s.deliver([]byte("hello"))
	r.m.settle()
	u := r.above.conns[s.fd]
	u.owed = []byte("world")
	r.above.send(u)
	if s.fd != fd || u.secure || string(u.got) != "hello" || string(s.out) != "world" {
		r.t.Errorf("descriptor %d, want %d; secure %v, %q, %q", s.fd, fd, u.secure, u.got, s.out)
	}
	u.shut = true
	r.above.send(u)
	if !s.shut || len(s.out) != 5 {
		r.t.Errorf("the end: %q", s.out)
	}
	r.above.close(u)
}

func TestPlainConnectionsBesideTLS(t *testing.T) {
	r := newRoom(t, 1, nil)
	c := r.dial(nil).shook()
	fd := c.s.fd
	r.plain(fd + 1)
	r.above.close(c.upper())
	r.plain(fd) // which had TLS
	if r.dial(nil).shook().s.fd != fd {
		t.Error("this test is of one descriptor")
	}
}

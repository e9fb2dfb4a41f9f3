package secure_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"peal/loop/secure"
)

// clientHello is what a client of crypto/tls begins with.
func clientHello(t testing.TB, c *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	go func() { // ends when the pipe is closed
		_ = tls.Client(client, c).Handshake()
		client.Close()
	}()
	server.SetDeadline(time.Now().Add(patience))
	b := make([]byte, 16<<10)
	n, err := server.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// inRecords puts a handshake message into records of at most n bytes.
func inRecords(message []byte, n int) (b []byte) {
	for len(message) > 0 {
		m := min(n, len(message))
		b = append(b, 22, 3, 1, byte(m>>8), byte(m))
		b = append(b, message[:m]...)
		message = message[m:]
	}
	return b
}

func TestClientHelloIsCompleteAtItsLastByte(t *testing.T) {
	plain := clientHello(t, &tls.Config{ServerName: "example.org"})
	long := clientHello(t, &tls.Config{ServerName: "example.org", NextProtos: []string{string(bytes.Repeat([]byte("x"), 255)), string(bytes.Repeat([]byte("y"), 255))}})
	for name, b := range map[string][]byte{
		"one record": plain, "with long extensions": long,
		"records of 1 byte":    inRecords(plain[5:], 1),
		"records of 3 bytes":   inRecords(plain[5:], 3),
		"records of 100 bytes": inRecords(plain[5:], 100),
		"largest":              inRecords(append([]byte{1, 0, 0x3F, 0xFC}, make([]byte, 0x3FFC)...), 1<<14),
	} {
		for cut := range b {
			if n, err := secure.HelloSize(b[:cut]); n != 0 || err != nil {
				t.Fatalf("%s: first %d of %d bytes: complete at %d, %v", name, cut, len(b), n, err)
			}
		}
		var each [][]byte
		for i := range b {
			each = append(each, b[i:i+1])
		}
		if n, err := secure.HelloSize(each...); n != len(b) || err != nil {
			t.Errorf("%s, byte by byte: complete at %d of %d, %v", name, n, len(b), err)
		}
		if n, err := secure.HelloSize(b); n != len(b) || err != nil {
			t.Errorf("%s: complete at %d of %d, %v", name, n, len(b), err)
		}
	}
}

func TestWhatIsNoClientHello(t *testing.T) {
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"HTTP":             {[]byte("GET / HTTP/1.1\r\n"), secure.ErrNotTLS},
		"SSLv2":            {[]byte{0x80, 0x2e, 1, 3, 1}, secure.ErrNotTLS},
		"an alert":         {[]byte{21, 3, 1, 0, 2, 2, 40}, secure.ErrNotTLS},
		"version 4":        {[]byte{22, 4}, secure.ErrNotTLS},
		"an empty record":  {[]byte{22, 3, 1, 0, 0}, secure.ErrNotTLS},
		"a large record":   {[]byte{22, 3, 1, 0x40, 1}, secure.ErrNotTLS},
		"a ServerHello":    {[]byte{22, 3, 3, 0, 100, 2}, secure.ErrNotTLS},
		"a large message":  {[]byte{22, 3, 1, 1, 0, 1, 0, 0x3F, 0xFD}, secure.ErrOversize},
		"the largest":      {[]byte{22, 3, 1, 1, 0, 1, 0xFF, 0xFF, 0xFF}, secure.ErrOversize},
		"HTTP in a record": {append(inRecords([]byte{1}, 1), []byte("GET /")...), secure.ErrNotTLS},
	} {
		if _, err := secure.HelloSize(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// FuzzClientHello: the pieces in which a ClientHello comes change nothing, and what is
// complete is what an independent reader finds complete.
func FuzzClientHello(f *testing.F) {
	hello := clientHello(f, &tls.Config{ServerName: "example.org"})
	f.Add(hello, uint16(7))
	f.Add(inRecords(hello[5:], 50), uint16(60))
	f.Add([]byte("GET / HTTP/1.1\r\n"), uint16(3))
	f.Add([]byte{22, 3, 1, 0, 4, 1, 0, 0, 0}, uint16(1))
	f.Fuzz(func(t *testing.T, b []byte, at uint16) {
		if len(b) > 1<<16 {
			return
		}
		cut := int(at) % (len(b) + 1)
		n, err := secure.HelloSize(b)
		m, errCut := secure.HelloSize(b[:cut], b[cut:])
		if (n != 0) != (m != 0) || (err != nil) != (errCut != nil) {
			t.Fatalf("whole: %d, %v; cut at %d: %d, %v", n, err, cut, m, errCut)
		}
		if complete := helloIsComplete(b); err == nil && (n != 0) != complete {
			t.Fatalf("complete at %d, want %v", n, complete)
		}
	})
}

// helloIsComplete joins the whole records and looks at what they have.
func helloIsComplete(b []byte) bool {
	var message []byte
	for len(b) >= 5 && b[0] == 22 {
		n := int(b[3])<<8 | int(b[4])
		if len(b) < 5+n {
			break
		}
		message = append(message, b[5:5+n]...)
		b = b[5+n:]
		if len(message) >= 4 && len(message) >= 4+int(message[1])<<16+int(message[2])<<8+int(message[3]) {
			return true
		}
	}
	return false
}

func TestBuffersAreFound(t *testing.T) {
	if !secure.BuffersAreFound() {
		t.Error("crypto/tls has changed: see spare.go")
	}
}

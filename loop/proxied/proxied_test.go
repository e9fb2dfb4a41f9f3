package proxied_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"peal/loop"
	"peal/loop/proxied"
)

const request = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"

// v2 is a header of version 2. protocol has its addresses; nil: none.
func v2(t testing.TB, command proxyproto.ProtocolVersionAndCommand, protocol proxyproto.AddressFamilyAndProtocol, source, destination net.Addr, tlvs ...proxyproto.TLV) string {
	t.Helper()
	h := &proxyproto.Header{Version: 2, Command: command, TransportProtocol: protocol, SourceAddr: source, DestinationAddr: destination}
	if err := h.SetTLVs(tlvs); err != nil {
		t.Fatal(err)
	}
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func tcp(text string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(text)) }

func unixAt(path string) net.Addr { return &net.UnixAddr{Name: path, Net: "unix"} }

// The specification's own signature, so that the library is not its only judge.
const signature2 = "\r\n\r\n\x00\r\nQUIT\n"

// haproxyHeader was sent by HAProxy 2.6 with proxy-v2-options crc32c.
const haproxyHeader = signature2 + "\x21\x11\x00\x13\x7f\x00\x00\x01\x7f\x00\x00\x01\x86\x5a\x48\x7c\x03\x00\x04\xd6\xb4\xa2\x5a"

// A header whose checksum is not right is refused, whichever byte of it was changed.
func TestChecksums(t *testing.T) {
	for at := 16; at < len(haproxyHeader); at++ {
		if at >= 28 && at < 31 {
			continue // another type or length: no checksum
		}
		changed := []byte(haproxyHeader)
		changed[at] ^= 1
		if c := dial(t, proxy, string(changed)+request).pass(64 << 10); c.err == nil || c.err == io.EOF || c.named != nil || len(c.got) > 0 {
			t.Errorf("byte %d changed: %q, %v, client %v", at, c.got, c.err, c.named)
		}
	}
	short := strings.Replace(strings.Replace(haproxyHeader, "\x00\x13", "\x00\x12", 1), "\x03\x00\x04", "\x03\x00\x03", 1)
	if c := dial(t, proxy, short[:len(short)-1]).pass(64 << 10); c.err == nil || c.named != nil {
		t.Errorf("a checksum of 3 bytes: %v, client %v", c.err, c.named)
	}
}

func TestHeaders(t *testing.T) {
	v4 := v2(t, proxyproto.PROXY, proxyproto.TCPv4, tcp("192.0.2.7:4711"), tcp("198.51.100.1:443"))
	if want := signature2 + "\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x67\x01\xbb"; v4 != want {
		t.Fatalf("the test's header is %q, want %q", v4, want)
	}
	tlv := func(n int) proxyproto.TLV {
		return proxyproto.TLV{Type: proxyproto.PP2_TYPE_SSL, Value: make([]byte, n)}
	}
	for _, c := range []struct {
		about, header string
		want          string // "": nobody is named; "unix"
	}{
		{"none", "", ""},
		{"version 1, IPv4", "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n", "192.0.2.7:4711"},
		{"version 1, IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n", "[2001:db8::7]:4711"},
		{"version 1, IPv4 in IPv6 form", "PROXY TCP6 ::ffff:192.0.2.7 ::1 4711 443\r\n", "192.0.2.7:4711"},
		{"version 1, unknown", "PROXY UNKNOWN\r\n", ""},
		{"version 1, unknown, the longest", "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", ""},
		{"version 2, IPv4", v4, "192.0.2.7:4711"},
		{"version 2, IPv6", v2(t, proxyproto.PROXY, proxyproto.TCPv6, tcp("[2001:db8::7]:4711"), tcp("[2001:db8::1]:443")), "[2001:db8::7]:4711"},
		{"version 2, IPv4 in IPv6 form", v2(t, proxyproto.PROXY, proxyproto.TCPv6, tcp("[::ffff:192.0.2.7]:4711"), tcp("[2001:db8::1]:443")), "192.0.2.7:4711"},
		{"version 2, with the checksum of HAProxy 2.6", haproxyHeader, "127.0.0.1:34394"},
		{"version 2, local", signature2 + "\x20\x00\x00\x00", ""},
		{"version 2, local with an address, which is passed over", strings.Replace(v4, "\x21\x11", "\x20\x11", 1), ""},
		{"version 2, unspecified", signature2 + "\x21\x00\x00\x00", ""},
		{"version 2, unspecified with bytes", signature2 + "\x21\x00\x00\x03abc", ""},
		{"version 2, Unix", v2(t, proxyproto.PROXY, proxyproto.UnixStream, unixAt("/run/a"), unixAt("/run/b")), "unix"},
		{"version 2, the longest name", v2(t, proxyproto.PROXY, proxyproto.UnixStream, unixAt(strings.Repeat("a", 108)), unixAt(strings.Repeat("b", 108))), "unix"},
		{"version 2, 300 bytes of TLV", v2(t, proxyproto.PROXY, proxyproto.TCPv4, tcp("192.0.2.7:4711"), tcp("198.51.100.1:443"), tlv(300)), "192.0.2.7:4711"},
		{"version 2, the most TLV", v2(t, proxyproto.PROXY, proxyproto.TCPv4, tcp("192.0.2.7:4711"), tcp("198.51.100.1:443"), tlv(proxied.MaxHeader-16-12-3)), "192.0.2.7:4711"},
	} {
		var want []netip.AddrPort
		if c.want == "unix" {
			want = []netip.AddrPort{{}}
		} else if c.want != "" {
			want = []netip.AddrPort{netip.MustParseAddrPort(c.want)}
		}
		for _, behind := range []string{request, "\x16\x03\x01\x02\x00\x01", "", "PROXY TCP4 198.51.100.9 198.51.100.1 1 1\r\n"} {
			if c.header == "" && strings.HasPrefix(behind, "PROXY") {
				continue
			}
			whole := c.header + behind
			for _, size := range []int{1, 7, 64 << 10} {
				check := func(how string, pieces ...string) {
					t.Helper()
					got := dial(t, proxy, pieces...).pass(size)
					if string(got.got) != behind || got.err != nil || fmt.Sprint(got.named) != fmt.Sprint(want) {
						t.Errorf("%s, %s, reads of %d: %q, %v, client %v; want %q, client %v", c.about, how, size, got.got, got.err, got.named, behind, want)
					}
				}
				check("whole", whole)
				check("behind it later", c.header, "", behind)
				if len(whole) < 600 {
					check("byte by byte", strings.Split(whole, "")...)
				}
			}
		}
		if c.header != "" && !proxied.Begins([]byte(c.header)) {
			t.Errorf("%s is not recognised as a header", c.about)
		}
	}
}

// What is no header goes on as it came, also what begins like one.
func TestWhatIsNoHeader(t *testing.T) {
	for _, text := range []string{request, "POST / HTTP/1.1\r\n", "PRO", "PROXYING / HTTP/1.1\r\n", "\r\nGET / HTTP/1.1\r\n", "\r\n\r\nGET / HTTP/1.1\r\n", "\r\n\r\n\x00\r\nQUIX", "\x16\x03\x01"} {
		for _, pieces := range [][]string{{text}, strings.Split(text, "")} {
			c := dial(t, proxy, pieces...)
			c.ended = true
			c.pass(64)
			want := text
			if text == "PRO" { // it ended before that was known
				want = ""
			}
			if string(c.got) != want || c.err != io.EOF || c.named != nil {
				t.Errorf("%q: %q, %v, client %v", text, c.got, c.err, c.named)
			}
		}
		if proxied.Begins([]byte(text)) {
			t.Errorf("%q is taken for a header", text)
		}
	}
}

// Strangers are not looked at: what they send is a bad request, and no address is taken.
func TestHeaderOfAStrangerIsPassedOn(t *testing.T) {
	header := "PROXY TCP4 10.0.0.9 198.51.100.1 4711 443\r\n"
	c := dial(t, stranger, header+request).pass(64 << 10)
	if string(c.got) != header+request || c.named != nil {
		t.Errorf("%q, client %v", c.got, c.named)
	}
	before, b := c.reads, make([]byte, 16)
	if n := testing.AllocsPerRun(100, func() { _, _ = c.above.Read(socket, b) }); c.reads != before+101 || n != 0 {
		t.Errorf("%v allocations for a read, %d reads below for 101", n, c.reads-before)
	}
}

func TestUnixPeersMayBeTrusted(t *testing.T) {
	c := dial(t, netip.AddrPort{}, "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n").pass(64)
	if len(c.named) != 1 || c.named[0].String() != "192.0.2.7:4711" {
		t.Errorf("client %v", c.named)
	}
}

func TestMalformedHeaders(t *testing.T) {
	for _, header := range []string{
		"PROXY \r\n", "PROXY TCP5 192.0.2.7 198.51.100.1 1 2\r\n", "PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n", "PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n", "PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n", "PROXY TCP4 2001:db8::7 198.51.100.1 1 2\r\n",
		"PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n", "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n", "PROXY TCP4 0.0.0.0 198.51.100.1 1 2\r\n",
		"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "PROXY TCP4 a.example 198.51.100.1 1 2\r\n",
		"PROXY UNKNOWN " + strings.Repeat("x", 107), "PROXY " + strings.Repeat("x", 200),
		signature2 + "\x11\x11\x00\x00", signature2 + "\x22\x11\x00\x00", signature2 + "\x21\x13\x00\x0c", signature2 + "\x21\x11\x00\x0b01234567890",
		signature2 + "\x21\x11\x10\x01", signature2 + "\x21\x11\xff\xff", signature2 + "\x21\x11\x00\x0c\x00\x00\x00\x00\xc6\x33\x64\x01\x12\x67\x01\xbb",
	} {
		if strings.HasPrefix(header, signature2+"\x21\x13") {
			header += "012345678901"
		}
		for _, pieces := range [][]string{{header + request}, append(strings.Split(header, ""), request)} {
			c := dial(t, proxy, pieces...).pass(64 << 10)
			if c.err == nil || errors.Is(c.err, io.EOF) || len(c.got) > 0 || c.named != nil || !c.closed {
				t.Errorf("%q: %q, %v, client %v", header, c.got, c.err, c.named)
			}
			if s := c.layer.Stats(); s.Malformed != 1 || s.Headers != 0 {
				t.Errorf("%q is counted as %+v", header, s)
			}
			if n := strings.Count(c.lines.String(), "\n"); n != 1 {
				t.Errorf("%q: %d lines: %s", header, n, c.lines.String())
			}
		}
	}
}

func TestAHeaderMustBecomeWholeInTime(t *testing.T) {
	c := dial(t, proxy, "PROXY TCP4 192.0.2.7 ")
	c.pass(64)
	c.tick(9 * time.Second)
	c.send("198.51")
	c.pass(64)
	if c.events != 0 || c.err != nil {
		t.Fatalf("ended before its time: %v", c.err)
	}
	c.tick(time.Second)
	if c.events != 1 || c.err == nil || !c.closed || c.layer.Stats().Late != 1 {
		t.Errorf("%d events, %v, %+v", c.events, c.err, c.layer.Stats())
	}
	c.tick(time.Hour) // it is forgotten
	if c.events != 1 {
		t.Errorf("%d events", c.events)
	}

	// Nothing was sent: the idle timeout is the loop's. A header in time, and bytes
	// behind it that nobody has read yet, have no time.
	for _, pieces := range [][]string{{""}, {"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n"}, {request}} {
		c := dial(t, proxy, pieces...).pass(64)
		c.tick(time.Hour)
		if c.events != 0 {
			t.Errorf("%q: ended", pieces)
		}
	}
	c = dial(t, proxy, "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n"+request)
	if n, err := c.above.Read(socket, make([]byte, 45)); n == 0 || err != nil {
		t.Fatal(n, err)
	}
	c.tick(time.Hour)
	if c.events != 0 {
		t.Error("ended with bytes that nobody has read")
	}
}

// A descriptor that is used again does not inherit anything.
func TestADescriptorIsUsedAgain(t *testing.T) {
	c := dial(t, proxy, "PROXY TCP4 192.0.2.7 ").pass(64)
	c.above.CloseSocket(socket)
	c.peer = stranger
	if _, err := c.above.Accept(3); err != nil {
		t.Fatal(err)
	}
	c.send("198.51.100.1 1 2\r\n")
	c.pass(64)
	if string(c.got) != "198.51.100.1 1 2\r\n" || c.named != nil {
		t.Errorf("%q, client %v", c.got, c.named)
	}
	c.tick(time.Hour)
	if c.events != 0 {
		t.Error("the old connection was still remembered")
	}
}

// A read that is not short says that there may be more, a short one that there is not.
func TestReadsTellWhetherThereIsMore(t *testing.T) {
	const header = "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n"
	c := dial(t, proxy, header+"abc", "def") // two pieces: a kernel read of each
	b := make([]byte, len(header)+3)
	n, err := c.above.Read(socket, b)
	if string(b[:n]) != "abcdef" || err != nil {
		t.Errorf("%q, %v; want all that is there", b[:n], err)
	}
	if n, err = c.above.Read(socket, b); n != 0 || err != loop.ErrAgain {
		t.Errorf("%d, %v", n, err)
	}
}

// A client of which the loop takes no connection ends with an error of the read.
func TestAClientThatIsNotWelcome(t *testing.T) {
	c := dial(t, proxy, "PROXY TCP4 192.0.2.66 198.51.100.1 4711 443\r\n"+request).pass(64)
	if c.err == nil || errors.Is(c.err, io.EOF) || len(c.got) > 0 || !c.closed || c.layer.Stats().Malformed != 0 || c.lines.Len() > 0 {
		t.Errorf("%q, %v: %s", c.got, c.err, c.lines.String())
	}
}

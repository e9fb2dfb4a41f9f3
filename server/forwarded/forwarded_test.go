package forwarded_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"peal/server/forwarded"
)

func parse(t testing.TB, list ...string) *forwarded.Trusted {
	t.Helper()
	trusted, err := forwarded.Parse(list)
	if err != nil {
		t.Fatal(err)
	}
	return trusted
}

func head(lines ...string) []byte {
	return []byte("GET /ws HTTP/1.1\r\nHost: a\r\n" + strings.Join(lines, "\r\n") + "\r\nAccept: */*\r\n\r\n")
}

// proxies are the trusted ones in the tests: 10.0.0.0/8 and 2001:db8:f::/48.
var proxies = []string{"10.0.0.0/8", "2001:db8:f::/48"}

func TestTheClientIsTheRightMostUntrusted(t *testing.T) {
	const xff, fwd = "X-Forwarded-For: ", "Forwarded: "
	for _, c := range []struct {
		about string
		lines []string
		want  string // "": nobody is named
	}{
		{"one proxy", []string{xff + "192.0.2.7"}, "192.0.2.7:0"},
		{"two proxies", []string{xff + "192.0.2.7, 10.0.0.2"}, "192.0.2.7:0"},
		{"the client has sent the header itself", []string{xff + "198.51.100.1, 192.0.2.7"}, "192.0.2.7:0"},
		{"the client claims to be a proxy", []string{xff + "10.0.0.9, 192.0.2.7, 10.0.0.2"}, "192.0.2.7:0"},
		{"the client claims to be one behind a proxy", []string{xff + "127.0.0.1, 10.0.0.2, 192.0.2.7"}, "192.0.2.7:0"},
		{"the client's rubbish is not reached", []string{xff + `%s;"\, 192.0.2.7`}, "192.0.2.7:0"},
		{"the proxy has appended a line", []string{xff + "198.51.100.1", xff + "192.0.2.7"}, "192.0.2.7:0"},
		{"lines are one list", []string{xff + "192.0.2.7", "X: y", xff + "10.0.0.2", xff + "10.0.0.3"}, "192.0.2.7:0"},
		{"any case", []string{"x-FORWARDED-for: 192.0.2.7"}, "192.0.2.7:0"},
		{"an underscore is another name", []string{"X_Forwarded_For: 198.51.100.1", xff + "192.0.2.7"}, "192.0.2.7:0"},
		{"an underscore alone", []string{"X_Forwarded_For: 198.51.100.1"}, ""},
		{"other headers", []string{"X-Real-IP: 198.51.100.1", "X-Client-IP: 198.51.100.1", "True-Client-IP: 198.51.100.1"}, ""},
		{"all trusted: the left-most", []string{xff + "10.9.9.9, 10.0.0.2"}, "10.9.9.9:0"},
		{"with a port", []string{xff + "192.0.2.7:51324"}, "192.0.2.7:51324"},
		{"IPv6", []string{xff + "2001:db8::7, 2001:db8:f::2"}, "[2001:db8::7]:0"},
		{"IPv6 in brackets", []string{xff + "[2001:db8::7]:443"}, "[2001:db8::7]:443"},
		{"IPv6 in quotation marks", []string{xff + `"[2001:db8::7]:443"`}, "[2001:db8::7]:443"},
		{"IPv4 in IPv6 form", []string{xff + "::ffff:192.0.2.7"}, "192.0.2.7:0"},
		{"a trusted one in IPv6 form", []string{xff + "192.0.2.7, ::ffff:10.0.0.2"}, "192.0.2.7:0"},
		{"a zone", []string{xff + "fe80::7%eth0"}, "[fe80::7]:0"},
		{"empty elements", []string{xff + ", ,192.0.2.7,, ,"}, "192.0.2.7:0"},
		{"nothing in it", []string{xff}, ""},
		{"commas only", []string{xff + ",,,"}, ""},
		{"a malformed element ends the search", []string{xff + "192.0.2.7, 192.0.2.256, 10.0.0.2"}, "10.0.0.2:0"},
		{"unknown ends the search", []string{xff + "192.0.2.7, unknown, 10.0.0.2"}, "10.0.0.2:0"},
		{"unknown first", []string{xff + "192.0.2.7, unknown"}, ""},
		{"a port without an address", []string{xff + ":80"}, ""},
		{"a colon without a port", []string{xff + "192.0.2.7:"}, ""},
		{"a port too large", []string{xff + "192.0.2.7:65536"}, ""},
		{"a leading zero", []string{xff + "192.0.02.7"}, ""},
		{"the unspecified address", []string{xff + "0.0.0.0"}, ""},
		{"a name", []string{xff + "localhost"}, ""},
		{"a space inside", []string{xff + "192.0.2.7 10.0.0.2"}, ""},

		{"Forwarded", []string{fwd + "for=192.0.2.7"}, "192.0.2.7:0"},
		{"Forwarded, all of it", []string{fwd + `by=203.0.113.43;For="192.0.2.7:51324";proto=http;host="a.example"`}, "192.0.2.7:51324"},
		{"Forwarded, two proxies", []string{fwd + "for=192.0.2.7, for=10.0.0.2;by=10.0.0.3"}, "192.0.2.7:0"},
		{"Forwarded, two lines", []string{fwd + "for=192.0.2.7", fwd + "for=10.0.0.2"}, "192.0.2.7:0"},
		{"Forwarded, IPv6", []string{fwd + `for="[2001:db8::7]:4711"`}, "[2001:db8::7]:4711"},
		{"Forwarded, IPv6 without brackets", []string{fwd + `for="2001:db8::7"`}, ""},
		{"Forwarded, a hidden port", []string{fwd + `for="192.0.2.7:_x"`}, "192.0.2.7:0"},
		{"Forwarded, unknown", []string{fwd + `for=192.0.2.7, for=unknown, for=10.0.0.2`}, "10.0.0.2:0"},
		{"Forwarded, a hidden identifier", []string{fwd + `for=192.0.2.7, for=_SEVKISEK`}, ""},
		{"Forwarded, hidden by silence", []string{fwd + `for=192.0.2.7, proto=https`}, ""},
		{"Forwarded, hidden by silence in a line of its own", []string{fwd + `for=198.51.100.1`, fwd + `proto=https`}, ""},
		{"Forwarded, unknown in a line of its own", []string{fwd + `for=198.51.100.1`, fwd + `for=unknown`}, ""},
		{"malformed in a line of its own", []string{xff + `198.51.100.1`, xff + `x`}, ""},
		{"Forwarded, a quotation mark left open by the client", []string{fwd + `for="198.51.100.1, for=192.0.2.7`}, "192.0.2.7:0"},
		{"Forwarded, the same before a quoted address", []string{fwd + `for="198.51.100.1, for="[2001:db8::7]"`}, "[2001:db8::7]:0"},
		{"Forwarded, the same with an escape", []string{fwd + `for="\, for="[2001:db8::7]"`}, "[2001:db8::7]:0"},
		{"Forwarded, a comma in quotation marks", []string{fwd + `for=192.0.2.7;host="a,for=198.51.100.1"`}, "192.0.2.7:0"},
		{"Forwarded, for twice", []string{fwd + `for=192.0.2.7;for=192.0.2.8`}, ""},
		{"Forwarded, spaces around =", []string{fwd + `for = 192.0.2.7`}, ""},
		{"Forwarded, semicolons", []string{fwd + `;; for=192.0.2.7 ; ;`}, "192.0.2.7:0"},
		{"Forwarded, an unquoted port", []string{fwd + `for=192.0.2.7:80`}, ""},

		{"both, the same", []string{fwd + "for=192.0.2.7", xff + "192.0.2.7:80"}, "192.0.2.7:0"},
		{"both, different", []string{fwd + "for=192.0.2.7", xff + "192.0.2.8"}, "conflict"},
		{"both, the client adds Forwarded", []string{fwd + "for=198.51.100.1, for=10.0.0.2", xff + "192.0.2.7"}, "conflict"},
		{"both, the client adds rubbish", []string{fwd + `for="`, xff + "192.0.2.7"}, "conflict"},
		{"both, the client adds X-Forwarded-For", []string{xff + "198.51.100.1", fwd + "for=192.0.2.7"}, "conflict"},
		{"both, one names nobody", []string{fwd + "proto=https", xff + "192.0.2.7"}, "192.0.2.7:0"},
		{"both, one is empty", []string{fwd + " ,", xff + "192.0.2.7"}, "192.0.2.7:0"},
	} {
		h, want := head(c.lines...), netip.AddrPort{}
		if c.want != "" && c.want != "conflict" {
			want = netip.MustParseAddrPort(c.want)
		}
		got, err := forwarded.Read(h, parse(t, proxies...))
		if got.Addr != want || errors.Is(err, forwarded.ErrConflict) != (c.want == "conflict") {
			t.Errorf("%s: %q: %v, %v; want %q", c.about, c.lines, got.Addr, err, c.want)
		}
		agree(t, proxies, h)
	}
}

// agree compares with the oracle.
func agree(t testing.TB, list []string, h []byte) {
	t.Helper()
	got, err := forwarded.Read(h, parse(t, list...))
	want, wantErr := newOracle(list).read(h)
	if got != want || err != wantErr {
		t.Errorf("%q: %+v, %v; the oracle has %+v, %v", h, got, err, want, wantErr)
	}
}

func TestHTTPSIsWhatTheProxySays(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  bool
	}{
		{nil, false},
		{[]string{"X-Forwarded-Proto: https"}, true},
		{[]string{"X-Forwarded-Proto: HTTPS"}, true},
		{[]string{"X-Forwarded-Proto: wss"}, true},
		{[]string{"X-Forwarded-Proto: http"}, false},
		{[]string{"X-Forwarded-Proto: https, http"}, false},
		{[]string{"X-Forwarded-Proto: https", "X-Forwarded-Proto: http"}, false},
		{[]string{"X-Forwarded-Proto: http", "X-Forwarded-Proto: https"}, true},
		{[]string{"X-Forwarded-Proto: https\t"}, true},
		{[]string{"X_Forwarded_Proto: https"}, false},
		{[]string{"Forwarded: for=192.0.2.7;proto=https"}, true},
		{[]string{"Forwarded: for=192.0.2.7;proto=https, for=10.0.0.2;proto=http"}, true},
		{[]string{"Forwarded: for=192.0.2.7;proto=http, for=192.0.2.8;proto=https"}, true},
		{[]string{"Forwarded: for=192.0.2.7;proto=https", "X-Forwarded-Proto: http"}, false},
		{[]string{"Forwarded: proto=https"}, true},
		{[]string{"Forwarded: proto=https;proto=https"}, false},
	} {
		h := head(c.lines...)
		if got, err := forwarded.Read(h, parse(t, proxies...)); got.HTTPS != c.want || err != nil {
			t.Errorf("%q: %v, %v; want %v", c.lines, got.HTTPS, err, c.want)
		}
		agree(t, proxies, h)
	}
}

func TestReadLooksThroughAtMost32Proxies(t *testing.T) {
	list := "192.0.2.7"
	for i := range 40 {
		list += fmt.Sprintf(", 10.0.0.%d", i+1)
	}
	h := head("X-Forwarded-For: " + list)
	got, err := forwarded.Read(h, parse(t, proxies...))
	if want := netip.MustParseAddrPort("10.0.0.9:0"); got.Addr != want || err != nil {
		t.Errorf("%v, %v; want %v", got.Addr, err, want)
	}
	agree(t, proxies, h)
}

// Long heads cost no more than looks at their bytes: what is parsed is bounded, and so
// are the allocations.
func TestReadIsBounded(t *testing.T) {
	trusted := parse(t, proxies...)
	for name, value := range map[string]string{
		"commas":    strings.Repeat(",", 32<<10),
		"proxies":   strings.Repeat("10.0.0.1,", 4<<10),
		"rubbish":   strings.Repeat("x", 32<<10),
		"clients":   strings.Repeat("192.0.2.7,", 4<<10),
		"quotes":    strings.Repeat(`"`, 32<<10),
		"slashes":   `"` + strings.Repeat(`\`, 32<<10) + `"`,
		"escapes":   strings.Repeat(`\"`, 16<<10),
		"pairs":     strings.Repeat("a=b;", 8<<10),
		"elements":  strings.Repeat("for=10.0.0.1,", 2<<10),
		"semicolon": strings.Repeat(";", 32<<10),
	} {
		for _, header := range []string{"X-Forwarded-For: ", "Forwarded: ", "X-Forwarded-Proto: "} {
			h := head(header + value)
			if n := testing.AllocsPerRun(10, func() { _, _ = forwarded.Read(h, trusted) }); n > 2*32+2 {
				t.Errorf("%s%s: %v allocations", header, name, n)
			}
		}
	}
}

func TestTrustedIsUnderstoodOrRefused(t *testing.T) {
	for _, c := range []struct {
		text, fault string
	}{
		{"10.0.0.0/8", ""}, {"10.0.0.1", ""}, {"2001:db8::/32", ""}, {"::1", ""}, {"loopback", ""}, {"unix", ""},
		{"0.0.0.0/0", ""}, {"::/0", ""}, {"::ffff:10.0.0.0/104", ""}, {"::ffff:10.0.0.1", ""},
		{"10.0.0.1/8", "10.0.0.0/8"}, {"2001:db8::1/32", "2001:db8::/32"}, {"10.0.0.0/33", "neither"}, {"10.0.0", "neither"},
		{"", "neither"}, {"proxy.example", "neither"}, {"10.0.0.0/8,10.1.0.0/16", "neither"}, {"fe80::1%eth0", "zone"},
		{"::ffff:10.0.0.0/90", "IPv6 form"}, {"Unix", "neither"}, {"*", "neither"},
	} {
		_, err := forwarded.Parse([]string{"192.0.2.1", c.text})
		if c.fault == "" && err != nil || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%q: %v; want %q", c.text, err, c.fault)
		}
	}
	if _, err := forwarded.Parse(make([]string, forwarded.MostTrusted+1)); err == nil {
		t.Error("a list that is too long was accepted")
	}
}

func TestTrustedHasWhatItsNetworksHave(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	address := func() netip.Addr {
		b := [16]byte{0x20, 0x01, 0x0d, 0xb8, byte(random.IntN(3)), byte(random.IntN(256))}
		if random.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{10, byte(random.IntN(4)), byte(random.IntN(256)), byte(random.IntN(256))})
		}
		b[15] = byte(random.IntN(256))
		return netip.AddrFrom16(b)
	}
	for round := range 200 {
		var list []string
		for range random.IntN(20) {
			a := address()
			list = append(list, netip.PrefixFrom(a, 8+random.IntN(a.BitLen()-7)).Masked().String())
		}
		if random.IntN(4) == 0 {
			list = append(list, "unix", "loopback", "::ffff:172.16.0.0/108")
		}
		trusted, plain := parse(t, list...), newOracle(list)
		check := func(a netip.Addr) {
			t.Helper()
			if got, want := trusted.Has(a), plain.has(a); got != want {
				t.Fatalf("round %d: %v has %v: %v, want %v", round, list, a, got, want)
			}
		}
		for range 200 {
			a := address()
			check(a)
			check(netip.AddrFrom16(a.As16()))
		}
		for _, text := range list {
			if p, err := netip.ParsePrefix(text); err == nil { // the ends of each
				check(p.Addr())
				check(p.Addr().Prev())
			}
		}
		check(netip.Addr{})
		check(netip.MustParseAddr("127.1.2.3"))
		check(netip.MustParseAddr("::1"))
		check(netip.MustParseAddr("fe80::1%eth0"))
		check(netip.MustParseAddr("172.31.255.255"))
		check(netip.MustParseAddr("172.32.0.0"))
	}
	if (*forwarded.Trusted)(nil).Has(netip.Addr{}) || (*forwarded.Trusted)(nil).Any() || parse(t).Any() || !parse(t, "unix").Any() {
		t.Error("an empty list trusts somebody, or unix does not count")
	}
}

func TestHasDoesNotAllocate(t *testing.T) {
	trusted, a := parse(t, "10.0.0.0/8", "2001:db8::/32", "unix"), netip.MustParseAddr("2001:db8::1")
	if n := testing.AllocsPerRun(100, func() { trusted.Has(a); trusted.Has(netip.Addr{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

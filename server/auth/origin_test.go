package auth_test

import (
	"testing"

	"peal/server/auth"
)

func TestOriginAllowedIsThisMachineOnly(t *testing.T) {
	check := func(want bool, origins ...string) {
		t.Helper()
		for _, o := range origins {
			if got := auth.OriginAllowed([]byte(o)); got != want {
				t.Errorf("%q: %v, want %v", o, got, want)
			}
		}
	}
	check(true,
		"http://localhost", "http://localhost:3000", "https://localhost:8443", "HTTP://LOCALHOST",
		"http://app.localhost", "http://a.b.localhost:1", "http://localhost.",
		"http://127.0.0.1", "http://127.0.0.1:8080", "http://127.8.9.10", "http://[::1]", "http://[::1]:8080",
		"http://0.0.0.0", "http://0.0.0.0:8080", "http://[::]:8080")
	check(false,
		"", "null", "localhost", "http:", "http://", "http:///", "http://:80", "https//localhost",
		"http://example.com", "http://localhost.example.com", "http://notlocalhost", "http://.localhost",
		"http://localhost@evil.com", "http://evil.com@localhost", "http://evil.com/.localhost", "http://evil.com#.localhost",
		"http://localhost:80a", "http://localhost:99999", "http://localhost:80:80", "http://localhost/",
		"http://128.0.0.1", "http://192.168.0.1", "http://127.0.0.1.nip.io", "http://0.0.0.1", "http://0.0.0.0.", "http://00.0.0.0", "http://0.0.0.0.example.com", "http://127.1", "http://127.0.0.1.", "http://127.0.0.01", "http://127.0.0.256", "http://127..0.1",
		"http://::1", "http://[::2]", "http://[::1", "http://[::1%25lo]", "http://[127.0.0.1]",
		"ws://localhost", "file://localhost", "chrome-extension://localhost", "httpss://localhost")
}

func TestHostAllowedIsAnAddressOrLoopback(t *testing.T) {
	check := func(want bool, hosts ...string) {
		t.Helper()
		for _, h := range hosts {
			if got := auth.HostAllowed([]byte(h)); got != want {
				t.Errorf("%q: %v, want %v", h, got, want)
			}
		}
	}
	check(true,
		"localhost", "localhost:8080", "LocalHost:", "a.localhost:80", "127.0.0.1", "127.0.0.1:8080",
		"192.168.1.7:8080", "10.0.0.1", "[::1]:8080", "[::1]", "[fe80::1]", "[2001:db8::1]:80")
	check(false,
		"", ":80", "example.com", "example.com:80", "127.0.0.1.nip.io", "localhost.evil.com", "::1", "[::1]x", "[::1]:x",
		"[]", "[", "]", "1.2.3.4.5", "1.2.3", "dead", "beef.cafe", "[fe80::1%eth0]", "localhost:80:80")
}

func TestChecksMakeNoGarbage(t *testing.T) {
	origins := [][]byte{[]byte("http://localhost:3000"), []byte("http://127.0.0.1:80"), []byte("https://example.com"), []byte("http://[::1]:80")}
	hosts := [][]byte{[]byte("localhost:8080"), []byte("127.0.0.1:8080"), []byte("example.com"), []byte("[2001:db8:1:2:3:4:5:6]:80")}
	n := testing.AllocsPerRun(100, func() {
		for i := range origins {
			auth.OriginAllowed(origins[i])
			auth.HostAllowed(hosts[i])
		}
	})
	if n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkHostAllowed(b *testing.B) {
	for _, host := range []string{"localhost:8080", "127.0.0.1:8080", "example.com"} {
		b.Run("host="+host, func(b *testing.B) {
			h := []byte(host)
			b.ReportAllocs()
			for b.Loop() {
				auth.HostAllowed(h)
			}
		})
	}
}

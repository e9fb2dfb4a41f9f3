package secure_test

import (
	"crypto/tls"
	"fmt"
	"testing"
)

// BenchmarkSend is what TLS adds to each send: the socket takes all and costs nothing.
func BenchmarkSend(b *testing.B) {
	for _, size := range []int{100, 1000, 16384} {
		for _, version := range []uint16{0, tls.VersionTLS12, tls.VersionTLS13} {
			name := "plain"
			if version != 0 {
				name = tls.VersionName(version)
			}
			b.Run(fmt.Sprintf("bytes=%d/way=%s", size, name), func(b *testing.B) {
				r := newRoom(b, 1, nil)
				var s *socket
				if version == 0 {
					s = r.m.connect("192.0.2.1:1")
					s.from = plainListener
					r.m.settle()
				} else {
					s = r.dial(only(version)).shook().s
				}
				message := make([]byte, size)
				s.out = make([]byte, 0, 1<<20)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					if n, full, err := r.above.kernel.Send(s.fd, message); n != size || full || err != nil {
						b.Fatal(n, full, err)
					}
					s.out = s.out[:0]
				}
			})
		}
	}
}

// BenchmarkRead is one record of a client, likewise.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{100, 16384} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			r := newRoom(b, 1, nil)
			c, seal := r.dialSealing()
			fd := c.s.fd
			message, to := make([]byte, size), make([]byte, 64<<10)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				c.s.in = append(c.s.in[:0], seal.record(23, message)...)
				b.StartTimer()
				for len(c.s.in) > 0 {
					if _, err := r.above.kernel.Read(fd, to); err != nil && len(c.s.in) == 0 {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

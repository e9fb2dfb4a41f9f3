package loop_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peal/loop"
)

// BenchmarkSend compares the loop's way of sending with the usual one.
func BenchmarkSend(b *testing.B) {
	payload := []byte(strings.Repeat("x", 100))
	for _, way := range []struct {
		name string
		send func(fd int32) (int, error)
	}{
		{"raw", func(fd int32) (int, error) { n, _, err := loop.SendRaw(fd, payload); return n, err }},
		{"unix.Write", func(fd int32) (int, error) { return unix.Write(int(fd), payload) }},
	} {
		b.Run("call="+way.name, func(b *testing.B) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer ln.Close()
			out, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer out.Close()
			in, err := ln.Accept()
			if err != nil {
				b.Fatal(err)
			}
			defer in.Close()
			f, err := out.(*net.TCPConn).File()
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			fd := int32(f.Fd())
			if err := unix.SetNonblock(int(fd), true); err != nil {
				b.Fatal(err)
			}
			buffer := make([]byte, 1<<20)
			b.ReportAllocs()
			b.ResetTimer()
			pending := 0
			for range b.N {
				n, err := way.send(fd)
				if err != nil || n != len(payload) {
					b.Fatalf("%d bytes, %v", n, err)
				}
				if pending += n; pending >= 64<<10 {
					b.StopTimer() // the reader's work is not what is compared
					if _, err := io.ReadFull(in, buffer[:pending]); err != nil {
						b.Fatal(err)
					}
					pending = 0
					b.StartTimer()
				}
			}
		})
	}
}

// BenchmarkPublishToOne is the way from a publishing request to one subscriber.
func BenchmarkPublishToOne(b *testing.B) {
	s := start(b, options{config: loop.Config{Loops: 1}, keep: 100})
	subscriber, publisher := s.dial(), s.dial()
	subscriber.sse("a now")
	for _, c := range []*client{subscriber, publisher} {
		c.SetDeadline(time.Now().Add(time.Hour))
	}
	request := []byte("pub a " + strings.Repeat("x", 100) + "\n")
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := publisher.Conn.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := subscriber.r.ReadSlice('\n'); err != nil {
			b.Fatal(err)
		}
		if _, err := publisher.r.ReadSlice('\n'); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFanout delivers to many real sockets; their reading is part of the
// cost, in this process.
func BenchmarkFanout(b *testing.B) {
	for _, flight := range []int{1, 16} {
		const subs = 1000
		b.Run(fmt.Sprintf("subs=%d/flight=%d", subs, flight), func(b *testing.B) {
			s := start(b, options{keep: 100})
			for range 1000 {
				s.publish("nobody", "x")
			}
			var all []*client
			for range subs {
				c := s.dial()
				c.send("sse a now\n")
				all = append(all, c)
			}
			for _, c := range all {
				c.expect("stream", "open 1000")
				c.SetDeadline(time.Now().Add(time.Hour))
			}
			data := strings.Repeat("x", 100)
			buffer := make([]byte, 64<<10)
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; done += flight {
				n := 0
				for range flight {
					sequence := s.publish("a", data)
					n += len(fmt.Sprintf("m %d a %s\n", sequence, data))
				}
				for _, c := range all {
					if _, err := io.ReadFull(c.r, buffer[:n]); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.N*subs)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

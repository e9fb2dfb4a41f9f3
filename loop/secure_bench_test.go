package loop_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peal/loop"
)

// shakerEnv makes the test binary a client that makes handshakes: see BenchmarkHandshake.
const shakerEnv = "PEAL_LOOP_TEST_SHAKER"

// BenchmarkHandshake counts the handshakes of a CPU-second of the server. The clients are
// another process.
func BenchmarkHandshake(b *testing.B) {
	for _, key := range []string{"ECDSA P-256", "RSA 2048"} {
		for _, resumed := range []bool{false, true} {
			b.Run(fmt.Sprintf("key=%s/resumed=%v", strings.ReplaceAll(key, " ", "-"), resumed), func(b *testing.B) {
				var certificate tls.Certificate
				if key == "RSA 2048" {
					private, err := rsa.GenerateKey(rand.Reader, 2048)
					if err != nil {
						b.Fatal(err)
					}
					certificate, _ = certify(private, &private.PublicKey)
				} else {
					private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
					if err != nil {
						b.Fatal(err)
					}
					certificate, _ = certify(private, &private.PublicKey)
				}
				s := start(b, options{secure: true, certificate: &certificate})
				before := s.layer.Stats()
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				child := exec.CommandContext(ctx, os.Args[0])
				child.Env = append(os.Environ(), shakerEnv+"="+fmt.Sprintf("%s %d %v", s.addr, b.N, resumed))
				child.Stderr = os.Stderr
				b.ResetTimer()
				used := cpuTime()
				if err := child.Run(); err != nil {
					b.Fatal(err)
				}
				used = cpuTime() - used
				b.StopTimer()
				stats := s.layer.Stats()
				done := stats.Full + stats.Resumed - before.Full - before.Resumed
				if resumed != (stats.Resumed > 0) || int(done) < b.N {
					b.Errorf("%d of %d: %+v", done, b.N, stats)
				}
				b.ReportMetric(float64(done)/used.Seconds(), "handshakes/cpu-s")
			})
		}
	}
}

// BenchmarkIdle is the memory of the server's process for each idle connection over
// TLS 1.3, after one request and its response. Use -benchtime 5000x or more.
func BenchmarkIdle(b *testing.B) {
	s := start(b, options{secure: true})
	before := resident()
	end := s.hold(b, b.N, "hold")
	s.awaitConnections(b.N)
	s.await("their handshakes", func() bool { return int(s.layer.Stats().Full) >= b.N })
	after := resident()
	b.ReportMetric(float64(after-before)/float64(b.N), "resident-B/conn")
	end()
	s.awaitEmpty()
}

// hold has another process hold n connections, until end.
func (s *server) hold(b *testing.B, n int, how string) (end func()) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), shakerEnv+"="+fmt.Sprintf("%s %d %s", s.addr, n, how))
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	return func() {
		in.Close()
		child.Wait()
	}
}

// BenchmarkDeliver counts the deliveries of a CPU-second of the server to 1,000
// subscribers in another process, one publication at a time.
func BenchmarkDeliver(b *testing.B) {
	const subscribers = 1000
	for _, over := range []string{"plain", "tls"} {
		for _, size := range []int{100, 1000} {
			b.Run(fmt.Sprintf("bytes=%d/over=%s", size, over), func(b *testing.B) {
				s := start(b, options{secure: over == "tls", keep: 10})
				end := s.hold(b, subscribers, "stream-"+over)
				s.await("subscribers", func() bool { return s.sum(func(s loop.Stats) int { return s.Transports.SSE }) == subscribers })
				data := strings.Repeat("x", size)
				deliveries := func() (n int) {
					return s.sum(func(s loop.Stats) int { return int(s.Fanout.Deliveries) })
				}
				s.publish("a", data)
				s.await("the first", func() bool { return deliveries() >= subscribers })
				b.ResetTimer()
				used := cpuTime()
				for i := range b.N {
					s.publish("a", data)
					s.await("deliveries", func() bool { return deliveries() >= (i+2)*subscribers })
				}
				used = cpuTime() - used
				b.StopTimer()
				b.ReportMetric(float64(b.N*subscribers)/used.Seconds(), "deliveries/cpu-s")
				end()
			})
		}
	}
}

// resident is the memory of this process that is in use.
func resident() int {
	debug.FreeOSMemory()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err)
	}
	pages, _ := strconv.Atoi(strings.Fields(string(statm))[1])
	return pages * os.Getpagesize()
}

func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// shake makes handshakes with a server, 8 at a time.
func shake(words string) int {
	f := strings.Fields(words)
	n, _ := strconv.Atoi(f[1])
	config := &tls.Config{InsecureSkipVerify: true} // the server is the test's
	if f[2] == "true" {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	one := func() error {
		raw, err := net.Dial("tcp", f[0])
		if err != nil {
			return err
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(patience))
		c := tls.Client(raw, config)
		if _, err := c.Write([]byte("echo x\n")); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 100)) // and the ticket before it
		return err
	}
	if how := f[2]; how != "true" && how != "false" {
		for range n {
			c, err := net.Dial("tcp", f[0])
			if err == nil && how != "stream-plain" {
				c = tls.Client(c, config)
			}
			request := "echo x\n"
			if how != "hold" {
				request = "sse a now\n"
			}
			if err == nil {
				_, err = c.Write([]byte(request))
			}
			if err == nil {
				_, err = c.Read(make([]byte, 100))
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			defer c.Close()
			if how != "hold" {
				go io.Copy(io.Discard, c) // ends with the connection
			}
		}
		io.Copy(io.Discard, os.Stdin) // until the server's test has measured
		return 0
	}
	var all sync.WaitGroup
	work, failed := make(chan struct{}), make(chan error, 8)
	if err := one(); err != nil { // for its ticket
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for range 8 {
		all.Go(func() {
			for range work {
				if err := one(); err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			}
		})
	}
	for range n {
		work <- struct{}{}
	}
	close(work)
	all.Wait()
	select {
	case err := <-failed:
		fmt.Fprintln(os.Stderr, err)
		return 1
	default:
		return 0
	}
}

package loop_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

package redis_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"peal/loadtest"
	"peal/loadtest/redisd"
	"peal/server/log"
	"peal/server/log/redis"
)

// count is a tail that counts, and has room for everything.
type count struct{}

func (count) Room(int, int) bool { return true }
func (count) Apply([]*log.Entry) {}
func (count) Wake()              {}

// BenchmarkAppend appends batches of one entry from many publishers to a real Redis, and reads
// them back. What Redis uses of its processor is what one log can carry:
//
//	go test ./server/log/redis -run - -bench Append
func BenchmarkAppend(b *testing.B) {
	for _, size := range [][2]int{{1, 1}, {64, 1}, {1024, 1}, {1, 100}, {64, 100}} {
		publishers, entries := size[0], size[1]
		{
			b.Run(fmt.Sprintf("publishers=%d/batch=%d", publishers, entries), func(b *testing.B) {
				server := redisd.For(b, redisd.Options{})
				l, err := redis.Open(server.URL(), redis.Config{}, time.Now)
				if err != nil {
					b.Fatal(err)
				}
				if err := l.Start(log.Tails{count{}}, func([]*log.Entry) {}); err != nil {
					b.Fatal(err)
				}
				defer func() { _ = l.Close() }()
				data := make([]byte, 100)
				before := processor(b, server.PID())
				b.ResetTimer()
				var all sync.WaitGroup
				for p := range publishers {
					all.Go(func() {
						done := make(chan error, 1)
						for i := p; i < b.N; i += publishers {
							batch := make([]*log.Entry, entries)
							for k := range batch {
								batch[k] = &log.Entry{Channel: "channel", Data: data}
							}
							if err := l.Append(batch, func(err error) { done <- err }); err != nil {
								b.Error(err)
								return
							}
							if err := <-done; err != nil {
								b.Error(err)
							}
						}
					})
				}
				all.Wait()
				b.StopTimer()
				n := float64(b.N * entries)
				b.ReportMetric(n/b.Elapsed().Seconds(), "entries/s")
				b.ReportMetric(n/(processor(b, server.PID())-before).Seconds(), "entries/redis-cpu-s")
			})
		}
	}
}

func processor(b *testing.B, pid int) time.Duration {
	b.Helper()
	used, err := loadtest.CPUTime(pid)
	if err != nil {
		b.Fatal(err)
	}
	return used
}

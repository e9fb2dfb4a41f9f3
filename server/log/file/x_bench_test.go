package file_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/log/file"
)

// BenchmarkAppend is the price of a publication from Append to done, 100 bytes
// of data, on the disk of the temporary directory. Each publisher waits for its
// last one to be done, as an HTTP client does.
func BenchmarkAppend(b *testing.B) {
	for _, policy := range []string{file.Always, file.Interval, file.Never} {
		for _, publishers := range []int{1, 64} {
			b.Run(fmt.Sprintf("fsync=%s/publishers=%d", policy, publishers), func(b *testing.B) {
				l, err := file.Open(b.TempDir(), file.Config{Fsync: policy, Log: quiet}, time.Now)
				if err != nil {
					b.Fatal(err)
				}
				if err := l.Start(noTail{}, func([]*log.Entry) {}); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				for n := range publishers {
					wg.Go(func() { publishInTurn(b, l, b.N/publishers+min(1, max(0, b.N%publishers-n))) })
				}
				wg.Wait()
				b.StopTimer()
				mustClose(b, l)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			})
		}
	}
}

func publishInTurn(b *testing.B, l *file.Log, n int) {
	batch := []*log.Entry{{Channel: "scores", Data: make([]byte, 100)}}
	done := make(chan error, 1)
	finish := func(err error) { done <- err }
	for range n {
		if err := l.Append(batch, finish); err != nil {
			b.Error(err)
			return
		}
		if err := <-done; err != nil {
			b.Error(err)
			return
		}
	}
}

// BenchmarkFlood is the same without waiting: as fast as the writer can.
func BenchmarkFlood(b *testing.B) {
	for _, policy := range []string{file.Always, file.Interval, file.Never} {
		b.Run("fsync="+policy, func(b *testing.B) {
			l, err := file.Open(b.TempDir(), file.Config{Fsync: policy, Log: quiet}, time.Now)
			if err != nil {
				b.Fatal(err)
			}
			if err := l.Start(noTail{}, func([]*log.Entry) {}); err != nil {
				b.Fatal(err)
			}
			entries := make([]*log.Entry, 1<<15) // more than may be pending
			for i := range entries {
				entries[i] = &log.Entry{Channel: "scores", Data: make([]byte, 100)}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; {
				at := i % len(entries)
				switch err := l.Append(entries[at:at+1], nil); {
				case err == nil:
					i++
				case errors.Is(err, log.ErrFull):
					time.Sleep(50 * time.Microsecond) // what a publisher would be told to do
				default:
					b.Fatal(err)
				}
			}
			mustClose(b, l) // what is queued is part of the price
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// BenchmarkReplay is the price of an entry at the start: read, checked, parsed
// and handed over.
func BenchmarkReplay(b *testing.B) {
	dir := b.TempDir()
	l, err := file.Open(dir, file.Config{Fsync: file.Never, Log: quiet}, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	if err := l.Start(noTail{}, func([]*log.Entry) {}); err != nil {
		b.Fatal(err)
	}
	const entries = 50_000
	for range entries / 1000 {
		batch := make([]*log.Entry, 1000)
		for i := range batch {
			batch[i] = &log.Entry{Channel: "scores", Data: make([]byte, 100)}
		}
		done := make(chan error, 1)
		if err := l.Append(batch, func(err error) { done <- err }); err != nil || <-done != nil {
			b.Fatal(err)
		}
	}
	mustClose(b, l)
	b.ResetTimer()
	for b.Loop() {
		l, err := file.Open(dir, file.Config{Log: quiet}, time.Now)
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Start(noTail{}, func([]*log.Entry) {}); err != nil {
			b.Fatal(err)
		}
		mustClose(b, l)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/entries, "ns/entry")
}

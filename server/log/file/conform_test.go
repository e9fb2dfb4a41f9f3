package file_test

import (
	"testing"
	"time"

	"peal/server/log"
	"peal/server/log/conform"
	"peal/server/log/file"
)

func TestConformance(t *testing.T) {
	conform.Run(t, conform.Subject{Persistent: true, New: func(t *testing.T) *conform.Place {
		dir := t.TempDir()
		return &conform.Place{Open: func(t *testing.T, small bool) log.Engine {
			config := file.Config{Fsync: file.Never, Log: quiet}
			if small {
				config.SegmentBytes, config.TotalBytes, config.Age = 20_000, 100_000, -1
			}
			l, err := file.Open(dir, config, time.Now)
			if err != nil {
				t.Fatal(err)
			}
			return l
		}, Succeed: func(_ *testing.T, h log.Handover) (log.Incoming, error) {
			return file.Succeed(dir, file.Config{Fsync: file.Never, Log: quiet}, time.Now, h)
		}}
	}})
}

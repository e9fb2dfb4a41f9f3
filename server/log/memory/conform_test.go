package memory_test

import (
	"testing"
	"time"

	"peal/server/log"
	"peal/server/log/conform"
	"peal/server/log/memory"
)

func TestConformance(t *testing.T) {
	conform.Run(t, conform.Subject{New: func(t *testing.T) *conform.Place {
		return &conform.Place{
			Open:    func(*testing.T, bool) log.Engine { return memory.Open(time.Now) },
			Succeed: func(_ *testing.T, h log.Handover) (log.Incoming, error) { return memory.Succeed(time.Now, h) },
		}
	}})
}

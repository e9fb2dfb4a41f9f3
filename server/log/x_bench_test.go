package log_test

import (
	"testing"

	"peal/server/log"
)

func BenchmarkCursorAppend(b *testing.B) {
	c := log.Cursor{Epoch: log.NewEpoch(), Sequence: 123_456_789}
	buf := make([]byte, 0, log.MaxCursorBytes)
	b.ReportAllocs()
	for b.Loop() {
		buf = c.Append(buf[:0])
	}
}

func BenchmarkCursorParse(b *testing.B) {
	text := log.Cursor{Epoch: log.NewEpoch(), Sequence: 123_456_789}.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := log.ParseCursor(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEntryAppend(b *testing.B) {
	e := log.Entry{Sequence: 123_456, Time: 1_770_000_000_123, Channel: "scores", Data: make([]byte, 256)}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = log.AppendEntry(buf[:0], &e)
	}
	b.ReportMetric(float64(len(buf)-256-len("scores")), "overhead-B")
}

func BenchmarkEntryParse(b *testing.B) {
	e := log.Entry{Sequence: 123_456, Time: 1_770_000_000_123, Channel: "scores", Data: make([]byte, 256)}
	buf := log.AppendEntry(nil, &e)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := log.ParseEntry(buf); err != nil {
			b.Fatal(err)
		}
	}
}

package server_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
	"time"

	"peal/loop/ring"
	"peal/server/dialect"
	"peal/server/hub"
	"peal/server/log"
	"peal/server/log/memory"
)

// table is all dialects.
var table = dialect.NewTable(dialect.Standard()...)

// readers stand for the loops: they encode each message in every encoding, as
// subscribers of all transports make them do.
type readers struct {
	cache *ring.Cache
}

func (readers) Room(int, int) bool { return true }
func (readers) Lose(uint64)        {}
func (readers) OnRoom(func())      {}

func (r *readers) Publish(m *ring.Message) {
	for k := range table.Len() {
		m.Encoded(table.Encoding(ring.Encoding(k)), r.cache)
	}
}

// TestHistoryTotalBoundsMemory holds history-total-bytes to the memory that is
// really taken, encodings included, for payloads of which encoders make much.
func TestHistoryTotalBoundsMemory(t *testing.T) {
	const total = 8 << 20
	for name, data := range map[string][]byte{
		"text":     []byte("the quick brown fox jumps over the lazy dog "),
		"control":  {0x01},
		"newlines": {'\n'},
		"quotes":   {'"'},
		"binary":   {0xff, 0x00},
	} {
		for _, size := range []int{1, 400, 20_000} {
			t.Run(fmt.Sprintf("%s/bytes=%d", name, size), func(t *testing.T) {
				before := liveHeap()
				r := &readers{}
				h := hub.New(hub.Config{TotalBytes: total, Limits: hub.Limits{Messages: 1 << 20, Bytes: total}}, r, func() {}, time.Now)
				l := memory.Open(time.Now)
				l.Start(h, nil)
				e := dialect.NewEncoder(table, l.Lineage(), rand.Int64N)
				r.cache = ring.NewCache(e.Encode, h.Encodings)
				payload := bytes.Repeat(data, size)[:size]
				for sent := 0; sent < total*3/2; {
					m := &log.Entry{Channel: "room" + strconv.Itoa(sent/1024%7), Data: bytes.Clone(payload)}
					sent += m.Size()
					if err := l.Append([]*log.Entry{m}, nil); err != nil {
						t.Fatal(err)
					}
				}
				live := liveHeap() - before
				if h.Stats().Messages == 0 || h.Stats().Bytes > total {
					t.Errorf("history of %d messages, %d bytes", h.Stats().Messages, h.Stats().Bytes)
				}
				t.Logf("%.1f MiB live for %.1f MiB of history", float64(live)/(1<<20), float64(h.Stats().Bytes)/(1<<20))
				if live > total*3/2 {
					t.Errorf("%d bytes live, want at most %d", live, total*3/2)
				}
				runtime.KeepAlive(l)
			})
		}
	}
}

// liveHeap is the bytes that are still referred to.
func liveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

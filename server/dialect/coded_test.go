package dialect_test

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"
	"testing"

	"peal/loop"
	"peal/loop/deflate"
	"peal/loop/fanout"
	"peal/loop/ring"
	"peal/server/dialect"
	"peal/server/log"
)

// coded returns the compressed form of a row.
func coded(t *testing.T, k ring.Encoding, c dialect.Coding) ring.Encoding {
	t.Helper()
	s := table.Subscription(k, 1)
	if !table.Recode(s, c) {
		t.Fatalf("row %d has no coding %d", k, c)
	}
	return s.Dialect
}

var codings = map[loop.Framing][]dialect.Coding{
	loop.WebSocket:   {dialect.Deflate, dialect.DeflateNarrow},
	loop.EventStream: {dialect.Gzip},
	loop.Held:        {dialect.GzipBody},
}

// Every row has its compressed forms, which nobody is given by name, which have an
// encoding of their own, and which share it as the plain rows share theirs.
func TestEachRowHasCompressedForms(t *testing.T) {
	for k := range ring.Encoding(table.Len()) {
		for _, c := range []dialect.Coding{dialect.Deflate, dialect.DeflateNarrow, dialect.Gzip, dialect.GzipBody} {
			s := table.Subscription(k, 1)
			fits := false
			for _, own := range codings[table.At(k).Framing] {
				fits = fits || own == c
			}
			if table.Recode(s, c) != fits {
				t.Errorf("row %s, coding %d: %v", table.At(k).Name, c, !fits)
			}
			if !fits {
				continue
			}
			if s.Dialect < ring.Encoding(table.Len()) || table.PlainOf(s.Dialect) != k || table.Encoding(s.Dialect) != s.Encoding {
				t.Errorf("row %s, coding %d: dialect %d, encoding %d", table.At(k).Name, c, s.Dialect, s.Encoding)
			}
			if shares, same := s.Encoding != s.Dialect, table.Encoding(k) != k; shares != same {
				t.Errorf("row %s, coding %d shares its encoding: %v, the plain row: %v", table.At(k).Name, c, shares, same)
			}
		}
	}
	if k := coded(t, dialect.V1, dialect.Deflate); table.Encoding(k) != table.Encoding(coded(t, dialect.WSJSON, dialect.Deflate)) {
		t.Error("peal.v1 and JSON do not share their compressed messages")
	}
}

// A message is compressed by its length and channel, and is encoded to the same bytes
// again.
func TestMessagesAreCompressedByLengthAndChannel(t *testing.T) {
	e := dialect.NewEncoder(table, log.NewLineage(epoch), func(int64) int64 { return 0 })
	e.MinBytes = 100
	e.Deflates = func(channel string) bool { return channel != "secret" }
	long := strings.Repeat("all work and no play ", 20)
	of := func(channel, data string, also ...string) *ring.Message {
		m := message(7, data)
		m.Channel, m.Also = channel, also
		return m
	}
	for _, c := range []struct {
		name   string
		m      *ring.Message
		packed bool
	}{
		{"long", of("a", long), true},
		{"presence channel", of(log.PresencePrefix+"a", long), true},
		{"short", of("a", "hi"), false},
		{"of a channel that is not compressed", of("secret", long), false},
		{"presence of it", of(log.PresencePrefix+"secret", long), false},
		{"also on such a channel", of("a", long, "b", "secret"), false},
	} {
		for _, plain := range []ring.Encoding{dialect.WSRaw, dialect.WSJSON, dialect.V1, dialect.SSERaw, dialect.SSEJSON} {
			want := e.Encode(c.m, plain)
			for _, coding := range codings[table.At(plain).Framing] {
				k := coded(t, plain, coding)
				got := e.Encode(c.m, k)
				if !bytes.Equal(got, e.Encode(c.m, k)) {
					t.Errorf("%s, %s: other bytes the second time", c.name, table.At(k).Name)
				}
				var inside []byte
				switch {
				case coding == dialect.Gzip:
					inside = inflated(t, string(got))
					if s := e.Sum(c.m, k); s != deflate.SumOf(inside) {
						t.Errorf("%s, %s: sum %+v", c.name, table.At(k).Name, s)
					}
				case c.packed:
					if got[0] != want[0]|0x40 {
						t.Errorf("%s, %s: begins with %x", c.name, table.At(k).Name, got[0])
					}
					at := 2
					if got[1] == 126 {
						at = 4
					}
					payload := want[len(want)-len(inflated(t, string(got[at:])+"\x00\x00\xff\xff")):]
					inside = append(bytes.Clone(want[:len(want)-len(payload)]), inflated(t, string(got[at:])+"\x00\x00\xff\xff")...)
				default:
					inside = got
				}
				if !bytes.Equal(inside, want) {
					t.Errorf("%s, %s: %.100q, want %.100q", c.name, table.At(k).Name, inside, want)
				}
				if shorter := len(got) < len(want)*8/10; shorter != c.packed {
					t.Errorf("%s, %s: %d bytes of %d", c.name, table.At(k).Name, len(got), len(want))
				}
			}
		}
	}
}

// inflated is what blocks of DEFLATE that end with a flush hold.
func inflated(t *testing.T, b string) []byte {
	t.Helper()
	out, err := io.ReadAll(flate.NewReader(strings.NewReader(b + "\x01\x00\x00\xff\xff")))
	if err != nil {
		t.Fatalf("%v: %.60q", err, b)
	}
	return out
}

// What an event stream with gzip says beside messages is the same as without.
func TestPrivateBytesOfGzipStreams(t *testing.T) {
	e := dialect.NewEncoder(table, log.NewLineage(epoch), func(n int64) int64 { return n - 1 })
	for _, plain := range []ring.Encoding{dialect.SSERaw, dialect.SSEJSON} {
		k := coded(t, plain, dialect.Gzip)
		for what, of := range map[string]func(k ring.Encoding) []byte{
			"open":        func(k ring.Encoding) []byte { return e.AppendOpen(nil, k, fanout.Opening{Sequence: 9, Session: 7}) },
			"open, known": func(k ring.Encoding) []byte { return e.AppendOpen(nil, k, fanout.Opening{Sequence: 9, Known: true}) },
			"heartbeat":   func(k ring.Encoding) []byte { return e.AppendHeartbeat(nil, k, 9) },
			"gap": func(k ring.Encoding) []byte {
				return e.AppendGap(e.AppendGap(nil, k, ring.Gap{Channel: "a", From: 1, To: 3}), k, ring.Gap{Channel: "b", From: 1, To: 3})
			},
			"close": func(k ring.Encoding) []byte { return e.AppendClose(nil, k, 1001, "by") },
		} {
			want, got := of(plain), of(k)
			if inside := inflated(t, string(got)); !bytes.Equal(inside, want) || e.SumOf(got) != deflate.SumOf(want) {
				t.Errorf("%s, %s: %q, want %q", table.At(k).Name, what, inside, want)
			}
		}
		if !e.Sums(k) || e.Sums(plain) || e.Sums(coded(t, dialect.PollJSON, dialect.GzipBody)) || e.Sums(coded(t, dialect.WSRaw, dialect.Deflate)) {
			t.Error("event streams alone end with a sum")
		}
	}
}

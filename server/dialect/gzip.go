package dialect

import (
	"time"

	"peal/loop/deflate"
	"peal/loop/fanout"
	"peal/loop/ring"
	"peal/server/log"
	"peal/server/session"
)

// An event stream with Content-Encoding gzip is one gzip stream: its header behind the
// head of the response (GzipHeader of loop/deflate), blocks of DEFLATE for each message
// that end at a byte and refer to nothing else, so that all such streams share them, and
// at its end the trailer, whose checksum the fan-out keeps for each connection. What
// concerns one connection alone is short, and in stored blocks.

// store has d write everything but messages in stored blocks.
func (d *Dialect) store() {
	plain := *d
	if plain.Open != nil {
		d.Open = func(dst []byte, at log.Cursor, id session.ID, known bool, retry time.Duration) []byte {
			return deflate.CloseStored(plain.Open(deflate.OpenStored(dst), at, id, known, retry), len(dst))
		}
	}
	if plain.Heartbeat != nil {
		d.Heartbeat = func(dst []byte, at log.Cursor) []byte {
			return deflate.CloseStored(plain.Heartbeat(deflate.OpenStored(dst), at), len(dst))
		}
	}
	if plain.Gap != nil {
		d.Gap = func(dst []byte, g ring.Gap, lineage *log.Lineage) []byte {
			return deflate.CloseStored(plain.Gap(deflate.OpenStored(dst), g, lineage), len(dst))
		}
	}
	if plain.Expires != nil {
		d.Expires = func(dst []byte, in time.Duration) []byte {
			return deflate.CloseStored(plain.Expires(deflate.OpenStored(dst), in), len(dst))
		}
	}
	if plain.Close != nil {
		d.Close = func(dst []byte, code uint16, reason string, retry time.Duration) []byte {
			return deflate.CloseStored(plain.Close(deflate.OpenStored(dst), code, reason, retry), len(dst))
		}
	}
}

var _ fanout.Summer = (*Encoder)(nil)

// Sums implements fanout.Summer.
func (e *Encoder) Sums(k ring.Encoding) bool { return e.table.forms[k].coding == Gzip }

// Sum implements fanout.Summer.
func (e *Encoder) Sum(m *ring.Message, k ring.Encoding) deflate.Sum {
	return deflate.SumOf(e.plainBytes(m, e.table.forms[k].plain))
}

// SumOf implements fanout.Summer.
func (e *Encoder) SumOf(b []byte) deflate.Sum { return deflate.SumStored(b) }

// AppendEnd implements fanout.Summer.
func (e *Encoder) AppendEnd(dst []byte, s deflate.Sum) []byte { return deflate.AppendGzipEnd(dst, s) }

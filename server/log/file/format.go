package file

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
	"strings"

	"peal/server/log"
)

// A segment is its header, then records without anything between them.
// Integers are little-endian; checksums are CRC-32C.
//
//	header: │ magic 8 │ version 4 │ length 4 │ mark 4 │ epoch 8 │ first 8 │ before 8 │
//	        │ predecessors 4 │ so many × (epoch 8, last 8) │ checksum 4 │
//	record: │ mark 4 │ length 4 │ checksum 4 │ entry: length bytes as log.AppendEntry writes them │
//	footer: │ mark 4 │ 2³²-1 4 │ checksum 4 │ at the very end, once the segment was closed well
//
// The checksum of the header is of all before it, that of a record of its length
// and its entry, that of a footer of what is before it there. The mark is random for each segment and known to nobody outside:
// so what a publisher sends cannot look like a record where one is searched for.
const (
	magic         = "PEALLOG\n"
	formatVersion = 2 // also read: 1, which had no footers, and epochs that went on after a good stop

	fixedHeaderBytes = 8 + 4 + 4 + 4 + 8 + 8 + 8 + 4 + 4
	recordBytes      = 4 + 4 + 4 // before the entry
	maxPredecessors  = 256
	maxHeaderBytes   = fixedHeaderBytes + 16*maxPredecessors
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header begins a segment.
type header struct {
	version int
	mark    uint32
	epoch   log.Epoch
	first   uint64 // sequence of the first record

	// before is the last sequence that the segments before this one hold. What
	// they have beyond it was never shown, or was cut off. Where it is less than
	// first-1 there is a hole: entries that were shown, and then could not be
	// synced.
	before uint64

	predecessors []log.Predecessor // the oldest first
}

func (h *header) bytes() int { return fixedHeaderBytes + 16*len(h.predecessors) }

func appendHeader(dst []byte, h *header) []byte {
	start := len(dst)
	le := binary.LittleEndian
	dst = append(dst, magic...)
	dst = le.AppendUint32(dst, formatVersion)
	dst = le.AppendUint32(dst, uint32(h.bytes()))
	dst = le.AppendUint32(dst, h.mark)
	dst = le.AppendUint64(dst, uint64(h.epoch))
	dst = le.AppendUint64(dst, h.first)
	dst = le.AppendUint64(dst, h.before)
	dst = le.AppendUint32(dst, uint32(len(h.predecessors)))
	for _, p := range h.predecessors {
		dst = le.AppendUint64(dst, uint64(p.Epoch))
		dst = le.AppendUint64(dst, p.Last)
	}
	return le.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// errVersion is kept apart from damage: the bytes are good, for another Peal.
var errVersion = errors.New("its format is of another version of Peal")

// parseHeader reads the header at the start of b.
func parseHeader(b []byte) (h header, err error) {
	le := binary.LittleEndian
	if len(b) < fixedHeaderBytes || string(b[:len(magic)]) != magic {
		return h, errors.New("it does not begin like a segment")
	}
	v := le.Uint32(b[8:])
	if v < 1 || v > formatVersion {
		return h, fmt.Errorf("%w: %d, this one reads up to %d", errVersion, v, formatVersion)
	}
	length, n := int(le.Uint32(b[12:])), int(le.Uint32(b[44:]))
	if n > maxPredecessors || length != fixedHeaderBytes+16*n || len(b) < length {
		return h, errors.New("the length of its header is impossible")
	}
	if le.Uint32(b[length-4:]) != crc32.Checksum(b[:length-4], castagnoli) {
		return h, errors.New("the checksum of its header is wrong")
	}
	h.version = int(v)
	h.mark = le.Uint32(b[16:])
	h.epoch = log.Epoch(le.Uint64(b[20:]))
	h.first = le.Uint64(b[28:])
	h.before = le.Uint64(b[36:])
	for b := b[48:]; len(h.predecessors) < n; b = b[16:] {
		h.predecessors = append(h.predecessors, log.Predecessor{Epoch: log.Epoch(le.Uint64(b)), Last: le.Uint64(b[8:])})
	}
	return h, nil
}

// appendRecord extends dst with the record of e. It allocates only when dst is
// too small or e has tags.
func appendRecord(dst []byte, mark uint32, e *log.Entry) []byte {
	start := len(dst)
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, mark)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	dst = log.AppendEntry(dst, e)
	record := dst[start:]
	le.PutUint32(record[4:], uint32(len(record)-recordBytes))
	le.PutUint32(record[8:], recordChecksum(record))
	return dst
}

// recordChecksum is of the length and the entry.
func recordChecksum(record []byte) uint32 {
	return crc32.Update(crc32.Checksum(record[4:8], castagnoli), castagnoli, record[recordBytes:])
}

// recordLength returns how many bytes the record at the start of b, of which
// recordBytes must be there, says it has; 0 if it is none.
func recordLength(b []byte, mark uint32) int {
	length := binary.LittleEndian.Uint32(b[4:])
	if binary.LittleEndian.Uint32(b) != mark || length > log.MaxEntryBytes {
		return 0
	}
	return recordBytes + int(length)
}

// parseRecord reads the entry in a whole record. It keeps nothing of record.
func parseRecord(record []byte) (*log.Entry, error) {
	if binary.LittleEndian.Uint32(record[8:]) != recordChecksum(record) {
		return nil, errors.New("its checksum is wrong")
	}
	e, n, err := log.ParseEntry(record[recordBytes:])
	if err == nil && n != len(record)-recordBytes {
		err = errors.New("it has more bytes than its entry")
	}
	return &e, err
}

// appendFooter extends dst with the footer of a segment.
func appendFooter(dst []byte, mark uint32) []byte {
	start := len(dst)
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, mark)
	dst = le.AppendUint32(dst, math.MaxUint32) // longer than any entry
	return le.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// isFooter reports whether b, the rest of a segment, is its footer.
func isFooter(b []byte, mark uint32) bool {
	var want [recordBytes]byte
	return string(b) == string(appendFooter(want[:0], mark))
}

// Names of files. Zeros make the order of names that of sequences.
const (
	segmentSuffix   = ".log"
	temporarySuffix = ".tmp"
	lockName        = "lock"
	cleanName       = "clean" // of format 1, after a good stop; it means nothing any more
)

func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

// parseSegmentName returns the sequence in a segment's name; ok is false for
// the names of other files.
func parseSegmentName(name string) (first uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	first, err := strconv.ParseUint(digits, 10, 64)
	return first, err == nil
}

package log

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
)

// The binary form of an entry. Integers are as in encoding/binary; what is
// zero or empty is left out.
//
//	┌─────────┬──────────────┬───────┬───────┬───
//	│ version │ body length  │ field │ field │ …
//	│ 1 byte  │ uint32, LE   │       │       │
//	└─────────┴──────────────┴───────┴───────┴───
//	field: tag (uvarint), length of value (uvarint), value
//
// A new field takes a new tag: older versions keep it unread. Only a change
// that they must not read past takes a new version.
const (
	entryVersion     = 1
	referringVersion = 2 // Data lies in an entry before it: who cannot follow tagDataOf must not take it for empty
	headerBytes      = 1 + 4
)

// MaxEntryBytes bounds the binary form of one entry, so that a damaged length
// is recognised as such. Far above any message limit of the server.
const MaxEntryBytes = 64 << 20

// maxChannelBytes bounds the name of a channel, whose length has 16 bits in server/hub. The names that
// clients may use are far shorter.
const maxChannelBytes = math.MaxUint16

// Tags of fields, in the order in which they are written. Never reuse one.
const (
	tagSequence       = 1  // uvarint
	tagTime           = 2  // varint
	tagKind           = 3  // uvarint, at most 255
	tagChannel        = 4  // bytes
	tagAlso           = 5  // bytes; repeated
	tagEvent          = 6  // bytes
	tagData           = 7  // bytes
	tagBinary         = 8  // uvarint, 0 or 1
	tagPublisher      = 9  // bytes
	tagTTL            = 10 // varint
	tagKey            = 11 // bytes
	tagPrivate        = 12 // uvarint, 0 or 1
	_                 = 13 // was the number of a session, which no publisher could set
	tagIdempotencyKey = 14 // bytes
	tagTag            = 15 // length of name (uvarint), name, value; repeated, sorted by name
	tagDataOf         = 16 // uvarint: how many sequences before this entry is the one that has its data; 0: this one has the data of others
	tagExclude        = 17 // 16 bytes
)

// AppendEntry extends dst with the binary form of e. Equal entries have equal
// forms. It allocates when dst is too small or e has tags. An entry whose form
// would exceed MaxEntryBytes must not be appended: ParseEntry refuses it.
func AppendEntry(dst []byte, e *Entry) []byte {
	start := len(dst)
	version := byte(entryVersion)
	if e.refers() {
		version = referringVersion
	}
	dst = append(dst, version, 0, 0, 0, 0)

	dst = appendUint(dst, tagSequence, e.Sequence)
	dst = appendInt(dst, tagTime, e.Time)
	dst = appendUint(dst, tagKind, uint64(e.Kind))
	dst = appendString(dst, tagChannel, e.Channel)
	for _, channel := range e.Also {
		dst = appendValue(dst, tagAlso, channel) // an empty one too: it is counted
	}
	dst = appendString(dst, tagEvent, e.Event)
	if len(e.Data) > 0 && !e.refers() {
		dst = appendValue(dst, tagData, e.Data)
	}
	dst = appendBool(dst, tagBinary, e.Binary)
	dst = appendString(dst, tagPublisher, e.Publisher)
	dst = appendInt(dst, tagTTL, e.TTL)
	dst = appendString(dst, tagKey, e.Key)
	dst = appendBool(dst, tagPrivate, e.Private)
	dst = appendString(dst, tagIdempotencyKey, e.IdempotencyKey)
	dst = appendTags(dst, e.Tags)
	if e.Shared != nil {
		var b [binary.MaxVarintLen64]byte
		dst = appendValue(dst, tagDataOf, b[:binary.PutUvarint(b[:], e.Sequence-e.Shared.First)])
	}
	if e.Exclude != nil {
		dst = appendValue(dst, tagExclude, e.Exclude[:])
	}
	dst = append(dst, e.unknown...)

	binary.LittleEndian.PutUint32(dst[start+1:], uint32(len(dst)-start-headerBytes))
	return dst
}

// ParseEntry reads the entry at the start of b, which is n bytes long. n == 0
// with a nil error means that b ends inside the entry: call again with more
// bytes. ErrEntry is final: the bytes are damaged or of a later version.
//
// The entry keeps nothing of b. One that Refers has its data elsewhere. Fields that this version does not know are
// kept in the entry and written again by AppendEntry.
func ParseEntry(b []byte) (e Entry, n int, err error) {
	if len(b) == 0 {
		return Entry{}, 0, nil
	}
	if b[0] != entryVersion && b[0] != referringVersion {
		return Entry{}, 0, fmt.Errorf("%w: version %d, want at most %d", ErrEntry, b[0], referringVersion)
	}
	if len(b) < headerBytes {
		return Entry{}, 0, nil
	}
	length := binary.LittleEndian.Uint32(b[1:])
	if length > MaxEntryBytes-headerBytes {
		return Entry{}, 0, fmt.Errorf("%w: %d bytes long, at most %d", ErrEntry, length, MaxEntryBytes)
	}
	n = headerBytes + int(length)
	if len(b) < n {
		return Entry{}, 0, nil
	}
	dataOf, shares := uint64(0), false
	for body := b[headerBytes:n]; len(body) > 0; {
		tag, value, fieldBytes := parseField(body)
		if fieldBytes == 0 {
			return Entry{}, 0, fmt.Errorf("%w: a field is cut short", ErrEntry)
		}
		if tag == tagDataOf {
			dataOf, shares = parseUintValue(value)
			if !shares {
				return Entry{}, 0, fmt.Errorf("%w: bad value in field %d", ErrEntry, tag)
			}
		} else if !e.setField(tag, value, body[:fieldBytes]) {
			return Entry{}, 0, fmt.Errorf("%w: bad value in field %d", ErrEntry, tag)
		}
		body = body[fieldBytes:]
	}
	if shares {
		e.Shared = &Shared{First: e.Sequence - dataOf}
	}
	if refers := e.refers(); refers != (b[0] == referringVersion) || refers && (e.Data != nil || dataOf > e.Sequence) {
		return Entry{}, 0, fmt.Errorf("%w: version %d with the data of %d entries before it", ErrEntry, b[0], dataOf)
	}
	return e, n, nil
}

// parseField reads the field at the start of b, n bytes long; n == 0 means
// that there is no whole one.
func parseField(b []byte) (tag uint64, value []byte, n int) {
	tag, tagBytes := binary.Uvarint(b)
	if tagBytes <= 0 {
		return 0, nil, 0
	}
	length, lengthBytes := binary.Uvarint(b[tagBytes:])
	if lengthBytes <= 0 || length > uint64(len(b)-tagBytes-lengthBytes) {
		return 0, nil, 0
	}
	start := tagBytes + lengthBytes
	n = start + int(length)
	return tag, b[start:n], n
}

// setField stores the value of one field, or whole where the tag is unknown.
// Where a field comes twice the later one counts.
func (e *Entry) setField(tag uint64, value, whole []byte) (ok bool) {
	var u uint64
	switch tag {
	case tagSequence:
		e.Sequence, ok = parseUintValue(value)
	case tagTime:
		e.Time, ok = parseIntValue(value)
	case tagKind:
		u, ok = parseUintValue(value)
		ok = ok && u <= 255
		e.Kind = Kind(u)
	case tagChannel:
		e.Channel, ok = string(value), len(value) <= maxChannelBytes
	case tagAlso:
		e.Also, ok = append(e.Also, string(value)), len(value) <= maxChannelBytes
	case tagEvent:
		e.Event, ok = string(value), true
	case tagData:
		e.Data, ok = append([]byte(nil), value...), true
	case tagBinary:
		e.Binary, ok = parseBoolValue(value)
	case tagPublisher:
		e.Publisher, ok = string(value), true
	case tagTTL:
		e.TTL, ok = parseIntValue(value)
	case tagKey:
		e.Key, ok = string(value), true
	case tagPrivate:
		e.Private, ok = parseBoolValue(value)
	case tagExclude:
		if ok = len(value) == len(e.Exclude); ok {
			id := [16]byte(value)
			e.Exclude = &id
		}
	case tagIdempotencyKey:
		e.IdempotencyKey, ok = string(value), true
	case tagTag:
		ok = e.setTag(value)
	default:
		e.unknown, ok = append(e.unknown, whole...), true
	}
	return ok
}

func (e *Entry) setTag(value []byte) bool {
	length, n := binary.Uvarint(value)
	if n <= 0 || length > uint64(len(value)-n) {
		return false
	}
	if e.Tags == nil {
		e.Tags = make(map[string]string)
	}
	value = value[n:]
	e.Tags[string(value[:length])] = string(value[length:])
	return true
}

func appendTags(dst []byte, tags map[string]string) []byte {
	if len(tags) == 0 {
		return dst
	}
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		value := tags[name]
		var prefix [binary.MaxVarintLen64]byte
		prefixBytes := binary.PutUvarint(prefix[:], uint64(len(name)))
		dst = binary.AppendUvarint(dst, tagTag)
		dst = binary.AppendUvarint(dst, uint64(prefixBytes+len(name)+len(value)))
		dst = append(dst, prefix[:prefixBytes]...)
		dst = append(dst, name...)
		dst = append(dst, value...)
	}
	return dst
}

func appendValue[T string | []byte](dst []byte, tag uint64, value T) []byte {
	dst = binary.AppendUvarint(dst, tag)
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

func appendString(dst []byte, tag uint64, s string) []byte {
	if s == "" {
		return dst
	}
	return appendValue(dst, tag, s)
}

func appendUint(dst []byte, tag, u uint64) []byte {
	if u == 0 {
		return dst
	}
	var b [binary.MaxVarintLen64]byte
	return appendValue(dst, tag, b[:binary.PutUvarint(b[:], u)])
}

func appendInt(dst []byte, tag uint64, i int64) []byte {
	if i == 0 {
		return dst
	}
	var b [binary.MaxVarintLen64]byte
	return appendValue(dst, tag, b[:binary.PutVarint(b[:], i)])
}

func appendBool(dst []byte, tag uint64, t bool) []byte {
	if !t {
		return dst
	}
	return appendUint(dst, tag, 1)
}

func parseUintValue(value []byte) (uint64, bool) {
	u, n := binary.Uvarint(value)
	return u, n > 0 && n == len(value)
}

func parseIntValue(value []byte) (int64, bool) {
	i, n := binary.Varint(value)
	return i, n > 0 && n == len(value)
}

func parseBoolValue(value []byte) (t, ok bool) {
	u, ok := parseUintValue(value)
	return u == 1, ok && u <= 1
}

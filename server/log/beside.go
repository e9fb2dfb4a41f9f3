package log

import "bytes"

// EntryBeside returns an entry with a copy of data beside it, in one object: the memory of both is
// that of the allocator's next size, as if each were alone. It is for entries whose Data no other entry
// shares, because the data would keep the first one in memory. Longer data has memory of its own.
func EntryBeside(data []byte) *Entry {
	switch n := len(data); {
	case n == 0:
		return &Entry{Data: bytes.Clone(data)} // nil, or not
	case n <= 48:
		var b struct {
			Entry
			data [48]byte
		}
		return beside(&b.Entry, b.data[:], data)
	case n <= 80:
		var b struct {
			Entry
			data [80]byte
		}
		return beside(&b.Entry, b.data[:], data)
	case n <= 112:
		var b struct {
			Entry
			data [112]byte
		}
		return beside(&b.Entry, b.data[:], data)
	case n <= 144:
		var b struct {
			Entry
			data [144]byte
		}
		return beside(&b.Entry, b.data[:], data)
	case n <= 208:
		var b struct {
			Entry
			data [208]byte
		}
		return beside(&b.Entry, b.data[:], data)
	case n <= 304:
		var b struct {
			Entry
			data [304]byte
		}
		return beside(&b.Entry, b.data[:], data)
	}
	return &Entry{Data: bytes.Clone(data)}
}

func beside(e *Entry, room, data []byte) *Entry {
	e.Data = room[:copy(room, data):len(data)]
	return e
}

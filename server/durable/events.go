package durable

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"time"

	"peal/server/log"
)

// SSEEncoding is the header line of an event stream of bytes, whose data is base64.
const SSEEncoding = "Stream-Sse-Data-Encoding: base64\r\n"

// cursorsPerMilli is how many cursors there are in a millisecond: so many that a client that
// returns one receives a greater one (section 8.1).
const cursorsPerMilli = 10

// Cursor is the value of Stream-Cursor at a time: a number that grows. Caches that join the
// requests of many clients need it; to Peal it means nothing.
func Cursor(now time.Time) int64 { return now.UnixMicro() / (1000 / cursorsPerMilli) }

// AppendEvents appends e, whose position is at, as an event with its data and the control
// event that must follow (section 5.7). The cursor comes from the time of e, so the bytes
// are the same in each call. upToDate says that nothing follows.
func (c Content) AppendEvents(dst []byte, e *log.Entry, at log.Cursor, upToDate bool) []byte {
	dst = append(dst, "event: data\n"...)
	switch c {
	case JSON:
		dst = appendData(dst, append(appendElement([]byte{'['}, e), ']'))
	case Text:
		dst = appendData(dst, c.Encode(e))
	default:
		dst = append(dst, "data:"...)
		dst = base64.StdEncoding.AppendEncode(dst, e.Data)
		dst = append(dst, '\n')
	}
	cursor := e.Time * cursorsPerMilli
	if upToDate { // this reader alone receives it
		cursor = Cursor(time.Now())
	}
	return appendControl(append(dst, '\n'), at, cursor, upToDate)
}

// appendData appends one data field for each line of data. An event stream has one kind of
// line end: CR and CRLF arrive as LF. Readers of this protocol look for the data right
// behind the colon, and all drop one space there, so only a line that begins with one has
// another before it.
func appendData(dst, data []byte) []byte {
	for {
		end := bytes.IndexAny(data, "\r\n")
		line := data
		if end >= 0 {
			line = data[:end]
		}
		dst = append(dst, "data:"...)
		if len(line) > 0 && line[0] == ' ' {
			dst = append(dst, ' ')
		}
		dst = append(append(dst, line...), '\n')
		if end < 0 {
			return dst
		}
		if data[end] == '\r' && end+1 < len(data) && data[end+1] == '\n' {
			end++
		}
		data = data[end+1:]
	}
}

// AppendUpToDate appends the control event of a reader that has all there is, at its
// position.
func AppendUpToDate(dst []byte, at log.Cursor, now time.Time) []byte {
	return appendControl(dst, at, Cursor(now), true)
}

func appendControl(dst []byte, at log.Cursor, cursor int64, upToDate bool) []byte {
	dst = append(dst, "event: control\ndata:{\"streamNextOffset\":\""...)
	dst = AppendOffset(dst, at)
	dst = append(dst, `","streamCursor":"`...)
	dst = strconv.AppendInt(dst, cursor, 10)
	dst = append(dst, '"')
	if upToDate {
		dst = append(dst, `,"upToDate":true`...)
	}
	return append(dst, "}\n\n"...)
}

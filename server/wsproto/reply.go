package wsproto

import (
	"strconv"
	"time"

	"peal/loop/frame"
	"peal/server/log"
	"peal/server/publication"
	"peal/server/refusal"
	"peal/server/session"
)

// AppendConnected appends the first frame of a peal.v1 connection:
// {"connected":{"cursor"?,"session","max_channels","message_bytes"}}. c is where the
// connection stands, left out if zero; id is that of its session; the others are the
// limits of a client.
func AppendConnected(dst []byte, c log.Cursor, id session.ID, channels, messageBytes int) []byte {
	body := append(make([]byte, 0, 192), `{"connected":{`...)
	if !c.IsZero() {
		body = append(body, `"cursor":"`...)
		body = c.Append(body)
		body = append(body, `",`...)
	}
	body = append(body, `"session":"`...)
	body = id.Append(body)
	body = append(body, `","max_channels":`...)
	body = strconv.AppendInt(body, int64(channels), 10)
	body = append(body, `,"message_bytes":`...)
	body = strconv.AppendInt(body, int64(messageBytes), 10)
	return frame.AppendMessage(dst, false, append(body, "}}"...))
}

// AppendReply appends the frame that says that the command with that id was
// done: {"id","ok":true,"cursor"?}. A zero cursor is left out.
func AppendReply(dst, id []byte, c log.Cursor) []byte {
	body := appendReplyHead(make([]byte, 0, 128), id)
	if !c.IsZero() {
		body = append(body, `,"cursor":"`...)
		body = c.Append(body)
		body = append(body, '"')
	}
	return frame.AppendMessage(dst, false, append(body, '}'))
}

// AppendSubscribed is AppendReply for a subscribe: unlisted is on how many of its
// channels there is no room to list its client, and left out if it is 0.
func AppendSubscribed(dst, id []byte, c log.Cursor, unlisted int) []byte {
	if unlisted == 0 {
		return AppendReply(dst, id, c)
	}
	object := append(make([]byte, 0, 64), '{')
	if !c.IsZero() {
		object = append(object, `"cursor":"`...)
		object = append(c.Append(object), `",`...)
	}
	object = append(object, `"unlisted":`...)
	object = strconv.AppendInt(object, int64(unlisted), 10)
	return AppendReplyWith(dst, id, append(object, '}'))
}

// AppendRenewed is AppendReply for a token: {"id","ok":true,"cursor"?,"unsubscribed"?}.
func AppendRenewed(dst, id []byte, c log.Cursor, unsubscribed []string) []byte {
	if len(unsubscribed) == 0 {
		return AppendReply(dst, id, c)
	}
	object := append(make([]byte, 0, 128), '{')
	if !c.IsZero() {
		object = append(object, `"cursor":"`...)
		object = append(c.Append(object), `",`...)
	}
	object = append(object, `"unsubscribed":[`...)
	for i, channel := range unsubscribed {
		if i > 0 {
			object = append(object, ',')
		}
		object = publication.AppendString(object, channel)
	}
	return AppendReplyWith(dst, id, append(object, "]}"...))
}

// AppendExpires appends the frame that warns that the token of the client expires in
// that time: {"token_expires":{"in":seconds}}.
func AppendExpires(dst []byte, in time.Duration) []byte {
	body := append(make([]byte, 0, 64), `{"token_expires":{"in":`...)
	body = strconv.AppendInt(body, int64(in.Seconds()), 10)
	return frame.AppendMessage(dst, false, append(body, "}}"...))
}

// AppendReplyWith is AppendReply with the members of object, a JSON object that
// is not empty, instead of the cursor.
func AppendReplyWith(dst, id, object []byte) []byte {
	body := appendReplyHead(make([]byte, 0, len(object)+128), id)
	body = append(body, ',')
	return frame.AppendMessage(dst, false, append(body, object[1:]...))
}

// AppendError appends the frame that says why the command with that id was not
// done: {"id","error":{"code","message"}}.
func AppendError(dst, id []byte, err *refusal.Error) []byte {
	body := append(make([]byte, 0, 256), `{"id":`...)
	body = append(body, id...)
	body = append(body, `,"error":{"code":`...)
	body = publication.AppendString(body, err.Code)
	body = append(body, `,"message":`...)
	body = publication.AppendString(body, err.Message)
	return frame.AppendMessage(dst, false, append(body, "}}"...))
}

func appendReplyHead(dst, id []byte) []byte {
	dst = append(dst, `{"id":`...)
	dst = append(dst, id...)
	return append(dst, `,"ok":true`...)
}

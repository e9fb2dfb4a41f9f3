// Package publication writes the JSON objects that every dialect shares, so
// that a message looks the same wherever JSON is spoken:
//
//	{"channel":"news","cursor":"1z141z4-1042","time":1732395600123,"event":"goal","data":"1:0"}
//	{"channel":"news","from":"1z141z4-7","to":"1z141z4-90","reason":"discarded"}
//	{"channel":"news","cursor":"1z141z4-1043","count":2,"join":[{"client":"ann"}],"leave":[]}
//
// Its nouns are the publication (an entry of the log as a client sees it), the
// gap (part of a channel is gone, as loop/ring says it), presence (who came and went, an entry of that
// kind whose data server/presence has written), and the JSON string.
//
// data is a string with exactly the published text. What is not text, because
// it was published as binary or is not UTF-8, comes as data_base64 instead.
// event is there only if the publication has one. Fields may be added.
//
// Which of these objects goes where, and what surrounds it, is decided by the
// packages wsproto, sse, poll and httpapi.
//
// All functions are pure: they extend the slice they are given, keep nothing,
// and any goroutine may call them.
package publication

// Package publication writes the JSON objects that all dialects share, so that a
// message has the same JSON on every transport:
//
//	{"channel":"news","cursor":"1z141z4-1042","time":1732395600123,"event":"goal","data":"1:0"}
//	{"channel":"news","from":"1z141z4-7","to":"1z141z4-90","reason":"discarded"}
//	{"channel":"news","cursor":"1z141z4-1043","count":2,"join":[{"client":"ann"}],"leave":[]}
//
// A message with several channels names those further ones in also that all of its
// subscribers may know of.
//
// Its nouns are the publication (an entry of the log as a client receives it), the
// gap (messages of a channel are gone: ring.Gap), presence (members that joined and
// left: an entry of that kind, whose data server/presence has written), and the JSON
// string.
//
// data is a string with exactly the published text. If it was published as binary
// or is not UTF-8, the field is data_base64 instead. event is present only if the
// publication has one. Fields may be added.
//
// The packages of the dialects and of the responses decide which of these objects
// are sent, and what surrounds them.
//
// All functions are pure: they extend the slice they are given, keep nothing,
// and any goroutine may call them.
package publication

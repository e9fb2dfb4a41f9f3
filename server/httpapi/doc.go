// Package httpapi speaks HTTP: it reads requests, finds out what each wants, and
// either responds or says what its connection becomes: a WebSocket, an event
// stream, a parked poll. It is the only importer of fasthttp.
//
// Its nouns: a [Front] takes the unread bytes of a connection, one request at a
// time, for one event loop. The [Head] is the strict check that every request
// passes before fasthttp's parser sees it. The exchange is one request and the
// response to it. [Origins] are the web pages that may read responses.
//
// HTTP itself is the exchange: head.go, body.go, params.go and fields.go read,
// response.go writes, route.go has the table of routes. A row of it leads to a
// handler of one of the rooms, which read what their paths ask for and hand it to
// the package that is the same for all transports:
//
//	subscribing  stream.go      /ws /sse /poll             package subscribe
//	publishing   publish.go     /publish /publish/batch    package publish
//	looking      looking.go     /channels and below        package look
//	control      disconnect.go  /disconnect                package ban, the loops
//	pages        script.go      / and the scripts
//
// Each asks package permit before anything is done. What WebSocket clients send
// later is package command's.
//
// What is held, sent or fanned out is not decided here but in package loop,
// which reads the fields of loop.Call.
//
// A Front belongs to one loop's goroutine and never blocks. Handlers on a
// worker have what they need as values; the memory of the exchange is not theirs.
package httpapi

// Package httpapi answers HTTP: it finds out what a request wants and either
// answers it or says what its connection becomes: a WebSocket, an event stream,
// a parked poll. It is the only importer of fasthttp.
//
// Its nouns: a [Front] takes the unread bytes of a connection, one request at a
// time, for one event loop. The [Head] is the strict check that every request
// passes before fasthttp's parser sees it. An [Error] is a refusal with a code
// for programs and a sentence for people. [Workers] run what could keep a loop
// busy. The [Encoder] joins the dialects (packages wsproto, sse, poll) to the
// fan-out.
//
// The way of a request: head.go checks it, body.go waits for its body, front.go
// has it parsed and finds its handler in route.go; publish.go, batch.go,
// stream.go, query.go and page.go handle it; answer.go writes the answer.
//
// What is held, sent or fanned out is not decided here but in package loop,
// which is told by the fields of loop.Call.
//
// A Front belongs to one loop's goroutine and never blocks. Handlers on a
// worker have what they need as values; the Front's memory is not theirs.
package httpapi

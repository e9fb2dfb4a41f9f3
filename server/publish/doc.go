// Package publish turns what publishers send into entries of the log, and tells
// them what became of it. It is the same for a request over HTTP, a batch, a
// command of peal.v1 and a raw WebSocket message.
//
// Its nouns: a [Message] is a publication as it is written in JSON or in a form; a
// [Draft] is what it says, with entries of the log to be made of it. An [Append]
// is the messages of one request on their way into the log, one or those of a
// [Batch], with their idempotency keys; a [Result] is what became of one message,
// and a [Reply] writes the results for the publisher's transport.
//
// Whether a client may publish is package permit's to decide, before.
//
// An Append begins on one goroutine, a loop's or a worker's. It ends on whichever
// is the last of that one, the log's, and those that publish under the same key:
// none of them waits for another.
package publish

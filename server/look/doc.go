// Package look answers questions about what the server has: channels, their
// history, and their members. It is the same for HTTP and for the commands of
// peal.v1.
//
// Its nouns: a [Desk] knows where to look and makes the JSON of a response; what
// could keep a loop busy it has a worker do, for which a [Reply] writes the
// response of the transport. A [History] is the request for one page of messages.
//
// A Desk may be used by any goroutine.
package look

// Package subscribe makes subscriptions of what clients ask to receive. It is the
// same for a URL and for a command of peal.v1.
//
// Its nouns: a [Wish] is what a client asks for; [Start] is where in the log it
// begins. [Guests] are the connections of one loop that have a client name: they
// are listed on their channels until their subscription ends.
//
// Whether a client may subscribe is package permit's to decide; which bytes it
// receives is the fan-out's and the dialects'.
//
// Everything here belongs to the goroutine of one loop.
package subscribe

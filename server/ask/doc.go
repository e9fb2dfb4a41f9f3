// Package ask asks a backend of the operator whether a client may connect, subscribe or
// publish. docs/callbacks.md describes the requests for users.
//
//   - Question: what one client wants. Its JSON is the body of the request, and has nothing
//     in it that differs between two equal questions, so its digest ([Key]) is what answers
//     are found by: in the cache, and when a request that waited is decided again.
//   - Answer: what the backend said, or why there is no answer. An Answer can only take
//     away: it never allows what tokens, keys and rules do not. What a client may do without
//     the backend is thus the most that any fault of the backend can lead to.
//   - Client: asks. A question waits in a bounded queue for one of a limited number of
//     goroutines; each address has a part of the queue. Equal questions about connections and
//     subscriptions that are under way at the same time are one request.
//
// No answer (an error, a time-out, another status, JSON that is wrong) refuses the client,
// unless on-error is allow. A question for which there was no place in the queue, or whose
// time passed there, refuses always: else whoever can fill the queue could open the door.
//
// Package permit decides what Peal asks and when (permit.Gate.Decide). Nothing here blocks its
// caller: answers come on other goroutines, and loops let the client wait meanwhile
// (httpapi.exchange.asks for requests, package parking for messages).
package ask

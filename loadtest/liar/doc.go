// Package liar has a server for tests that misbehaves according to a plan.
//
// An Odd server passes the messages of its publishers, POST /publish and WebSockets at
// /pub, to its subscribers at /ws, /sse and /poll. Its Lie decides for each message and
// subscriber: it sends it once to deliver it, never to lose it, twice to repeat it, with
// a later message to reorder it, or changed; it sleeps to stall, sends other bytes, and
// ends connections. So a test knows exactly what a load test must find.
//
// Without a Lie it behaves correctly, but in unusual ways that are legal: with interim
// responses, connections that end, fragments, other line ends. A load test must
// read all of them. Its Garbage is illegal.
//
// It does not know the load test. One lock orders all lies.
package liar

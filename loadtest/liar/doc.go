// Package liar has WebSocket servers for tests that misbehave according to a plan.
//
// A Server forwards the messages of its publisher, the client at /pub, to all other
// clients. Its Plan decides for each message: it calls send once to deliver it,
// never to lose it, twice to repeat it, and with a later message to reorder it. It
// sleeps to stall, and may close connections. So a test knows exactly what a load
// test must find.
//
// An Odd server behaves correctly, but in unusual ways that are legal: with interim
// responses, connections that end, fragments, other line ends. A load test must
// read all of them. Its Garbage is illegal.
//
// Neither knows the load test. One lock orders everything that a server does.
package liar

// Package liar is a WebSocket server for tests that lies, by plan: it does to
// the messages of its publisher what the plan says. Whoever connects to /pub
// publishes; everybody else receives.
//
// A plan calls send once for the truth, never to lose a message, twice to repeat
// it, later, on the occasion of another one, to reorder it; it sleeps to stall,
// and hangs up on whom it likes. What a load test must find is then known
// exactly.
//
// An odd server (StartOdd) tells the truth, in ways that are unusual and legal: with
// interim responses, connections that end, fragments, other line ends. A load test must
// read all of them. What is not legal, its Garbage is for.
//
// Neither knows anything of the load test. One lock orders everything that a server does.
package liar

// Package attacks measures what hostile clients cost honest ones: 1,000 honest
// subscribers on all transports, first alone and then beside 16 clients of
// loadtest/hostile, on a fresh server for each attack.
//
// Its nouns:
//
//   - An Attack is a kind of hostile client with what it needs: arguments of the
//     server, a preparation, a crowd of connections, and a check, whose figures
//     are counted and not timed.
//   - The honest side is three fleets (WebSocket, event streams, polls), each with
//     an open-loop publisher, and visitors: connections whose request comes in two
//     pieces, as it does over a slow network.
//   - A Phase is what the honest side met, quiet or under attack. An Outcome is both
//     of one attack on one build; WriteTable puts the builds below each other.
//
// Hostile clients run in a process of their own, with one processor and a lower
// priority, from another address than the honest ones. All share the machine, so
// the column "lag" says how late a goroutine of the measuring process woke up
// meanwhile: what a latency exceeds that by is the server's.
//
//	scripts/bench.sh --attacks                                # all, on this build
//	scripts/bench.sh --attacks=last --attacks-versus OLD      # one, OLD beside it
//	scripts/bench.sh --attacks --quick                        # small: does it work?
//
// Concurrency: one attack at a time. A phase has a goroutine for each fleet, the
// visitors and the lag; they end with it.
package attacks

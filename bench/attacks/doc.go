// Package attacks measures the cost of hostile clients for honest ones: 1,000 honest
// subscribers on all transports, first alone and then beside 16 clients of
// loadtest/hostile, on a fresh server for each attack.
//
// Its nouns:
//
//   - An Attack is a kind of hostile client with what it needs: arguments of the
//     server, a preparation, a crowd of connections, and a check, whose figures
//     are counted, not timed.
//   - The honest side is three fleets (WebSocket, event streams, polls), each with
//     an open-loop publisher, and visitors: connections whose request arrives in two
//     pieces, as over a slow network.
//   - A Phase is what the honest side measured, quiet or under attack. An Outcome has
//     both phases of one attack on one build; WriteTable lists the builds.
//
// Hostile clients run in a process of their own, with one processor and a lower
// priority, from another address than the honest ones. All share the machine, so
// the column "lag" shows how late a goroutine of the measuring process woke up. Only
// the part of a latency beyond it is due to the server.
//
//	scripts/bench.sh --attacks                                # all, on this build
//	scripts/bench.sh --attacks=last --attacks-versus OLD      # one, and OLD for comparison
//	scripts/bench.sh --attacks --quick                        # small sizes
//
// Concurrency: one attack at a time. A phase has a goroutine for each fleet, the
// visitors and the lag; they end with it.
package attacks

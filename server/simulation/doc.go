// Package simulation runs a whole server in one goroutine under a seed, and
// judges by the bytes that its clients receive. It has tests only.
//
// Real are the log engines, the hub with its rules, control with its bans, the ring,
// the fronts with
// their encoder, and the loops: package loop on a kernel that the seed moves
// (machine_test.go). Made up are the clock, the disk, which forgets what was not
// synced when the power goes, is full and fails, and of which older copies are put
// back, and the machine: bytes come in pieces, sockets take any number of them,
// events come late, out of order and without a cause, connections end in all the
// ways there are, descriptors run out and are used again. A quarter of the seeds
// have a sender that sends and reports in later turns (sender_test.go).
//
// Its nouns. The world is all of that, and a list of steps to choose from. A
// client is somebody with a cursor: it connects, sends requests and frames, reads
// with decoders that share no code with the server, is cut off at any byte, and
// comes back on another loop, transport or set of channels. A watch stands between
// a loop and its front: what the loop passes on must be what the client has sent.
// The oracle knows the true log and what each channel retains; the judge says by it
// of every message, cursor, gap, response and end whether it may come now
// (judge_test.go, ends_test.go). A loop that sleeps has done all it can for
// everybody on it; that is looked at after every callback.
//
// In some worlds the front lets requests wait and has them looked at again
// (waiting_test.go), and its streams have deadlines, at which, or from elsewhere, it
// writes to them and ends them (deadlines_test.go).
//
// TestSimulationOverTLS puts TLS below the loops, loop/secure, and below that a client's
// side of it (tunnel_test.go): the world speaks plaintext, and the oracle demands the same.
//
// The backend keeps clients away, too (bans_test.go): what it has ordered must hold
// after each restart as far as the log has kept it.
//
// TestSimulationOfDialects has clients and backends of the Pusher and of the Mercure protocol among
// the others (dialects_test.go, pusher_test.go, pusher_judge_test.go, mercure_test.go): channels of an app that need a
// signature, client events, the HTTP API with socket_id, updates on several topics, and private
// ones. What a backend or client was promised about a publication is compared with the entry that it
// became: whom it leaves out, and its channels.
//
// TestSimulationOfUpgrades has other processes go on with the server, in the midst of everything, as
// server/handover.go and server/takeover.go do (moving_test.go): through the encoding of each part, into another
// number of loops, with another clock. The other process refuses now and then, and the first one goes on. Until the
// commit neither may touch a socket. The account of the oracle goes on through it, and nobody may be left behind
// without a reason; the hub there must retain what the one here does (moving_planted_test.go has its planted bugs).
//
// A second world has several nodes that share a log, server/log/distributed
// (nodes_test.go): each with its hub, ring, front and loops on a machine of its own, with one
// clock. The store between them (nodes_shelf_test.go) serves calls late, is cut off before or behind
// what it does, forgets the newest of what it was given, is emptied, removes what a slow node has not read yet, and has entries that
// cannot be read. A guest moves between the nodes with its cursor (nodes_guest_test.go):
// whatever the store has must come to it, in one order; what the store has lost, and a node
// that still runs had shown, must be covered by a gap; and there is no gap where
// nothing was lost. Publications are repeated on other nodes under their key, and are in the log once;
// orders of all nodes hold on all nodes, the last one in the log (nodes_publish_test.go).
//
// TestSimulationOfNodesWithMembers has nodes that say that they live, and guests with names
// (nodes_members_test.go): in the end all nodes list exactly those who are there, and nobody of a node
// that is dead.
//
// A planted bug is put between two parts of the world (planted_test.go), or into
// the source of package loop, of the engine of several nodes, or of another protocol, by an overlay of the go command
// (planted_loop_test.go, nodes_planted_test.go, dialects_planted_test.go); the simulation must notice each of them.
//
// To add a stream: a transport with its request and decoder (client_test.go,
// decode_test.go); what its clients say and receive in reply, if they do, beside
// commands_test.go. To add an engine: a storage (engine_test.go). To add a call to
// loop.Kernel: what the machine does with it, and what may go wrong.
//
// One seed is one schedule; an engine's own goroutine moves only when the world
// lets it. A failure prints the command that repeats it.
package simulation

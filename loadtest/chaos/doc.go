// Package chaos checks the guarantees of a push server under many faults at
// once: many clients of all transports leave, come back with their
// cursor on another transport, change their channels and stop reading, while
// publishers publish and the server is killed and started again. It meets the
// server on the wire only.
//
// Its nouns:
//
//   - A publication is one message that a publisher sent; the ledger knows each
//     and whether it was acknowledged. Its data carries its id, channel, number
//     and checksum: see data.go.
//   - A client follows one to five channels over one connection after another
//     and records in its journal what it received: messages, gaps, positions.
//     It draws no conclusions. See client.go and, one file each, the transports.
//   - A life of the server is the time from one epoch of its cursors to the
//     next. A place is a cursor as the judge reads it: a life and a sequence.
//   - The judge, at the end, replays all journals against what is known to
//     have been in the log: what the ledger has acknowledged and what any client
//     received. See judge.go; world.go is what is known.
//   - The server must not end a connection while it serves: no client here gives it a
//     reason, and hostile clients (loadtest/hostile; chaos/run starts them) are none.
//   - With Access the server needs tokens. A proof is a token of a client: it lives for a
//     few seconds, is renewed on a live connection where the transport can, may lack a
//     channel, and may be revoked. No message may come that the proof of the connection
//     does not grant: see access.go. What it grants is owed as without tokens.
//   - With Webhooks the server also sends each publication to receivers, which fail, hang and are killed. Each
//     must get every publication that was acknowledged, in order, and a repeat with the id that it had: see webhook.go
//     and webhook_judge.go.
//   - With Questions the server's trace is asked what became of messages for clients, and each answer is compared
//     with the client's journal: see question.go and question_judge.go.
//   - A Server is what is started and stopped: Process is the real binary. A
//     Backup is one whose log can be copied, and the copy be put back: then a
//     life goes on from one long before, and what came after the copy is cut.
//
// The only knowledge of the server's insides is the text of a cursor
// (place.go): a user's client must not read it, a judge of order has to.
//
// Each client draws from a random generator of its own, so the decisions of a
// seed are always the same; what happens to them depends on the network and the
// clock.
//
// Concurrency: a goroutine for each client and publisher and one that restarts
// the server; Run waits for all of them and then judges alone.
package chaos

// Package log names what everything else reads: one ordered log of entries.
//
// Four nouns. An Entry is one record. An Engine numbers entries, in increasing
// sequences from 1 on, and keeps them; the engines are the packages beside this one
// (memory, file, later redis, nats). A Tail is a reader that an engine feeds with
// every entry, in order; one that may wait reads on with the engine's Reader. A
// Cursor is a client's position: the Epoch,
// which names one life of a log, and a sequence; a Lineage says which epoch names
// which sequences, and up to where the cursors of earlier epochs are good.
//
// Cursors are formatted, parsed and compared only here; to everybody else,
// and above all to clients, they are opaque. Entries have one versioned binary
// form (AppendEntry, ParseEntry) for engines that store or send them; fields
// that this version does not know survive a round trip.
//
// What this package leaves to others: which entries a channel retains, what a
// gap is and which clients receive it (server/hub), and how a publication looks on the wire
// (the dialects). It imports nothing else of ours.
//
// Concurrency: Epoch, Cursor and the codec are plain values and functions that
// any goroutine may use; a Log may be appended to from any goroutine.
package log

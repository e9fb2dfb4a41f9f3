// Package simulation runs a whole server in one goroutine under a seed, and
// judges by the bytes that its clients receive. It has tests only.
//
// Real are the log engines, the hub with its rules, the ring, the front with its
// encoder, and a fan-out for each loop, which takes from the ring at its own
// pace. Made up are the clock, the disk, which forgets what was not synced when
// the power goes, is full and fails, and of which older copies are put back, the sockets, which take any number of bytes,
// stall and die, and the few lines of package loop that lie between front and
// fan-out (station_test.go).
//
// Its nouns. The world is all of that, and a list of steps to choose from. A
// client is somebody with a cursor: it connects, reads with decoders that share
// no code with the server, is cut off at any byte, and comes back on another
// loop, transport or set of channels. The oracle knows the true log and what
// each channel retains; the judge says by it of every message, cursor, gap and
// close whether it may come now. A planted bug is put between two parts of the
// world; the simulation must notice each of them.
//
// To add a stream: a transport with its request and decoder (client_test.go,
// decode_test.go); what its clients say and are replied, if they do, beside
// commands_test.go. To add an engine: a storage (engine_test.go).
//
// One seed is one schedule; an engine's own goroutine moves only when the world
// lets it. A failure prints the command that repeats it.
package simulation

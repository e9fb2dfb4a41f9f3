// Package redisd starts real Redis servers (redis-server, or valkey-server) for tests,
// chaos and benchmarks, and breaks them.
//
// A Server is one of them, on 127.0.0.1 and with a directory of its own: it is started,
// killed, stopped, continued, restarted on the same data, made a replica and promoted. A
// Sentinel watches a Server and its replicas. A Proxy stands between a client and a server
// (any TCP server) and cuts, stalls, delays or refuses connections. All end with Close, and
// the processes with this program, even if that is killed.
//
// For and its sisters are for tests: they skip where Redis is not installed, or fail where
// PEAL_E2E=require says that it must be there, and close at the end of the test.
//
// Methods of one value may be called from any goroutine, except that Start, Kill,
// Restart and Close of one take turns.
package redisd

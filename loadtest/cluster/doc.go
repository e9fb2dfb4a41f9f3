// Package cluster starts several Peal nodes over one real Redis server, for chaos, load
// tests and benchmarks, and breaks them.
//
// A Cluster is a Redis server and its nodes. A Node is a 'peal serve' whose log is in that
// server. With Options.Proxies a proxy stands between each node and Redis, which can be
// cut. All processes end with Close, and with this program.
//
// Any goroutine may call the methods, except that those that start, stop or break one
// node, or Redis, take turns.
package cluster

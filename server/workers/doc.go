// Package workers runs what could keep an event loop busy. A [Pool] is a few
// goroutines that all loops share; a [Job] is what one request has them do. Their
// time is divided among addresses and connections by what their jobs cost
// (fair.go), so that one client's jobs do not delay those of others.
//
// Any goroutine may add a job; it never waits.
package workers

// Package server wires the rooms together: the log feeds the hub, the hub feeds
// the ring, the ring feeds the loops; requests go from the loops to the HTTP
// interface and from there to the log.
//
//   - Config: what an operator can set; its zero value is the documented default.
//   - Server: New builds and listens, Run serves, the end of its context drains.
//
// A Server is used by one goroutine; what it starts it waits for.
package server

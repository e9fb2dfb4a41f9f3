// Package child starts other programs, mostly servers under test, and ends them.
//
// A Process is one child. It has a process group of its own, so Ctrl-C does not
// reach it and a kill reaches all that it started, and it dies with this
// program, even if that is killed; Follow makes one of a process that another child has
// left behind. A Program is a server that can be started
// again and again: Start returns when it accepts on each of its addresses. Ports
// are free ports, to be put where {port} and {admin} stand in a command line.
//
// The package is a leaf: it knows nothing of the servers. Any goroutine may call
// everything here, except that Start and Stop of one Program take turns.
package child

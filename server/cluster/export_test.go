package cluster

import "fmt"

// Death is the data of an entry that declares a node dead.
func Death(node, upto uint64) []byte {
	return (&message{id: node, upto: upto}).append(nil)
}

// Groups is the data of a heartbeat with groups g0, g1, …, of as many connections.
func Groups(node uint64, n int) []byte {
	m := message{id: node, name: "g", groups: map[string]int{}}
	for i := range n {
		m.groups[fmt.Sprint("g", i)] = i + 1
	}
	m.groups["g7"] = 7
	return m.append(nil)
}

// Heartbeat is the data of one of a node that reads and writes that format.
func Heartbeat(node uint64, name string, format uint64) []byte {
	return (&message{id: node, name: name, version: "9.9", reads: format, writes: format}).append(nil)
}

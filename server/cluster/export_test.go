package cluster

// Death is the data of an entry that declares a node dead.
func Death(node, upto uint64) []byte {
	return (&message{id: node, upto: upto}).append(nil)
}

// Heartbeat is the data of one of a node that reads and writes that format.
func Heartbeat(node uint64, name string, format uint64) []byte {
	return (&message{id: node, name: name, version: "9.9", reads: format, writes: format}).append(nil)
}

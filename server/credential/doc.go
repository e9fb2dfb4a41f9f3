// Package credential has the keys by which the admin listener knows operators, and what each may do:
// a Definition is one key in the configuration, a Right is a part of the listener, a Table finds the
// Operator of a key. Without keys there is no Table, and a nil Operator, who may do everything: the
// listener is then protected by its address or by client certificates.
//
// Keys have the form of those of backends, and only their digests are known (package apikey).
//
// Everything is immutable, and any goroutine may use it.
package credential

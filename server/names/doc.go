// Package names knows the names of channels: which are legal, and which rule each
// has. A [Name] is a channel's name in the forms that requests need; a [Cache]
// remembers them, so that a request on a known channel makes no garbage of it; a
// [Set] is the channels that one request names.
//
// A Cache and a Set belong to one goroutine. A Name may be kept and read by any.
package names

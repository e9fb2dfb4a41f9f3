// Package mercure is what the Mercure protocol (0.x) says of topics, tokens and forms,
// without HTTP and without connections: package httpapi reads the requests, package
// permit decides.
//
// Its nouns are those of the protocol. A topic is the name of a channel. A [Selectors] is
// a list of topic selectors, as a token grants them: a topic, "*" for all of them, or a URI
// template (RFC 6570).
package mercure

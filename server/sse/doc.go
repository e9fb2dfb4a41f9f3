// Package sse is what clients of a text/event-stream are sent, by the HTML
// standard, section 9.2 (server-sent events).
//
// Its nouns are those of the standard: an event has an id (the cursor, which
// the client keeps and sends back as Last-Event-ID), perhaps a name, and data.
// Raw data is the published text, one data field for each line; JSON data is
// the object of package publication, always one line.
//
// An id with nothing else and an empty line fires no event but is stored by
// the client: so a stream begins, and so every heartbeat advances the position
// of a client that has nothing to receive. Nobody's cursor rots.
//
// The HTTP head is httpapi's. All functions are pure: they extend the slice
// they are given, keep nothing, and any goroutine may call them.
package sse

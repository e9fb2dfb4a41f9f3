// Package sse is what clients of a text/event-stream are sent, by the HTML
// standard, section 9.2 (server-sent events).
//
// Its nouns are those of the standard: an event has an id (the cursor, which
// the client keeps and sends back as Last-Event-ID), perhaps a name, and data.
// Raw data is the published text, one data field for each line; JSON data is
// the object of package publication, always one line.
//
// A stream begins with its position, and every heartbeat advances the position
// of a client that has nothing to receive, so that no cursor grows old. Both are
// an event named peal.cursor, for which nobody listens. By the standard an id
// without data would do, and fire nothing. But the npm packages eventsource 3 and
// event-source-polyfill forget the id of an event without data, and
// @microsoft/fetch-event-source hands it to onmessage as a message without a name.
//
// The HTTP head is httpapi's. All functions are pure: they extend the slice
// they are given, keep nothing, and any goroutine may call them.
package sse

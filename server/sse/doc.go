// Package sse encodes the messages for clients of a text/event-stream, by the HTML
// standard, section 9.2 (server-sent events).
//
// Its nouns are those of the standard: an event has an id (the cursor, which
// the client keeps and sends back as Last-Event-ID), optionally a name, and data.
// Raw data is the published text, one data field for each line; JSON data is
// the object of package publication, always one line.
//
// A stream begins with its position, and every heartbeat advances the position
// of a client that receives no messages, so that no cursor becomes outdated. Both are
// an event named peal.cursor, for which pages have no listener. By the standard an
// id without data is enough, and causes no event. But the npm packages eventsource 3
// and event-source-polyfill drop the id of an event without data, and
// @microsoft/fetch-event-source passes it to onmessage as a message without a name.
//
// Other packages write the HTTP head. All functions are pure: they extend the slice
// they are given, keep nothing, and any goroutine may call them.
package sse

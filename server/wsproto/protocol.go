package wsproto

// Raw is the subprotocol of clients that must name one: browsers fail a
// connection on which the server selects none of those they offered.
const Raw = "peal.raw"

// V1 is the subprotocol of clients that send commands and receive publications
// of many channels as JSON, with cursors, gaps and replies.
const V1 = "peal.v1"

// Package wsproto encodes the messages for WebSocket clients: publications, pings
// and the last frame, as RFC 6455 frames of a server.
//
// Its nouns are the two formats. Raw is the data only, one unfragmented text or
// binary frame for each publication. It has no cursor and cannot carry a gap: a raw
// client that falls behind the retained messages is closed with frame.CloseGap. JSON
// is one text frame with the object of package publication.
//
// With the subprotocol [V1] what the client sends is a talk.Command, taken apart by
// a [Parser] and answered by a reply or an error with its id. Without, it is published
// as it is. Which subprotocol speaks which format is a matter of server/dialect.
//
// Frames are loop/frame's; commands are carried out by package command.
//
// All functions are pure: they extend the slice they are given, keep nothing,
// and any goroutine may call them. A Parser is one goroutine's.
package wsproto

// Package talk is what clients say on WebSockets whose messages are commands, in
// whichever dialect they say it, and what they are told then.
//
//   - Command: one message of a client: which command it is, and its fields.
//   - Language: how a dialect reads commands and writes replies. It is the part of a
//     row of server/dialect that is about the client's messages.
//
// What a command means is carried out by server/command, the same for every
// language. A field is JSON, as peal.v1 has it; other languages make it of what they
// have.
//
// Replies are made by pure functions, which any goroutine may call. A Parser and a
// Command are one goroutine's.
package talk

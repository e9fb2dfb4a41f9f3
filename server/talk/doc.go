// Package talk defines the commands that clients send on WebSockets, for every dialect
// that has commands.
//
//   - Command: one message of a client: the name of the command and its fields.
//   - Language: how a dialect parses commands and writes replies. It is the part of a
//     row of server/dialect that concerns the messages of clients.
//
// server/command carries out commands, in the same way for every language. A field is
// JSON, as in peal.v1; other languages convert theirs.
//
// Replies are made by pure functions, which any goroutine may call. A Parser and a
// Command are one goroutine's.
package talk

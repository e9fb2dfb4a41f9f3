// Package session names the sessions of clients: the ids by which a publisher leaves
// one client out, and by which a client is still left out after it has reconnected.
//
//   - ID: the name of a session, 16 bytes, 22 characters of base64url in text.
//   - IDs: turns the session numbers of the loops into ids, and back.
//
// The id of a connection that becomes a stream is its session number, encrypted with a key that the process
// makes at its start. Peal therefore stores nothing for a connection, and nobody can
// guess the id of another client. A client of long polling has an id that counts clients
// instead, because its polls come on any connection. An id that a client presents when it connects is an
// earlier one of this process or of another, or one that the client has made itself;
// the loop that has the connection stores it (fanout.Fan.Adopt).
//
// Concurrency: an ID is a value; any goroutine may call the methods of IDs.
package session

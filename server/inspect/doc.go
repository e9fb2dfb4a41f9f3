// Package inspect has what an operator sees of a running server, as values with a form in
// JSON: the connections (Page, Connection, End), what the server does now (Live, Top), and what the
// operator may do (Message, Order). The admin listener writes them; peal top,
// peal connections and the dashboard read them.
//
// A Query is what to look for among the connections, as it is in a URL.
//
// Names, infos and reasons in these values come from clients: they are text, and whoever
// shows them must show them as text. None of the values has a secret.
//
// Everything is a value, and belongs to who has it.
package inspect

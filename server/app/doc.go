// Package app has the apps of the Pusher Channels protocol: their ids, keys and secrets,
// the names of their channels, and the signatures that are made with their secrets.
//
//   - Definition: an app in the configuration; Parse and FromEnvironment read one.
//   - Table: the apps of a server, by key, by id and by channel. It does not change; a
//     reload makes another one.
//   - App: one of them, which verifies and makes signatures.
//
// An app has a namespace: its channel orders is the channel NAMESPACE + orders of the
// server. A namespace is empty or ends with a colon, which names of the protocol cannot
// contain, so the name that clients of an app know is what follows the last colon.
//
// Any goroutine may use a Table or an App.
package app

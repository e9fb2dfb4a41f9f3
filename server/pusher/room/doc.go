// Package room carries out what clients of the Pusher Channels protocol send: it is to
// their dialect what package command is to peal.v1. Package pusher has the frames, package
// app the apps and their signatures.
//
// Its noun is the [Room], of one event loop. A connection belongs to an app from its
// handshake on. What it may do is package permit's to decide; a signature of the app
// is a grant of one channel.
//
// A channel of a client is the channel of the server with the namespace of the app before
// it. Members of presence channels are members of that channel under the namespace and
// their user_id.
//
// A Room belongs to its loop's goroutine and never blocks.
package room

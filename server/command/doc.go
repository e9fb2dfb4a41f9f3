// Package command carries out what WebSocket clients send: the commands of
// peal.v1, which package wsproto has read, and raw messages, which are published
// as they are. What they have in common with requests over HTTP is in the
// packages publish, subscribe, look and permit.
//
// Its noun is the [Room], of one event loop. Replies are frames to the one
// client, ahead of what its subscriptions bring; those that workers or the log
// make later come through the loop's door, and may come in another order.
//
// A Room belongs to its loop's goroutine and never blocks.
package command

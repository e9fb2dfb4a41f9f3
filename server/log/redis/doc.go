// Package redis keeps the log of several nodes in a stream of Redis (6.2 or later) or
// Valkey: the Store of server/log/distributed.
//
// The keys begin with the name of the log in braces, so that a cluster has them in one slot:
//
//	{peal}:log          stream: SEQUENCE-0, e entry, c its check, p the check before it
//	{peal}:meta         hash: format, epoch, began, head, check, predecessors
//	{peal}:state        hash: upto, digest, data of the checkpoint of control state
//	{peal}:writer:NODE  the last call of a node and its result, for an hour
//	{peal}:key:DIGEST   sequence and digest of the message with an idempotency key
//	{peal}:inbox        stream for other programs; :mover names the node that moves, :refused is the stream of what cannot be published
//
// What changes them are scripts (*.lua), each of which is one step for everybody. That for
// appending is loaded (SCRIPT LOAD) by whoever begins an epoch, on the connection on which it did,
// and is called by its digest only: a Redis that was restarted, or was a replica, does not have it,
// so a call finds out that an epoch must begin first.
//
// One connection has the commands, in the order in which they are sent; another one waits for
// entries. None is repeated by the client library: distributed.Log decides about that.
package redis

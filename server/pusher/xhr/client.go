package xhr

import "peal/loop"

// Client is the client of a session: what is written to it, frames of a WebSocket, becomes
// lines. It is good for as long as the loop.Client in it.
type Client struct{ loop.Client }

// Write implements loop.Client.
func (c Client) Write(frames []byte) { c.Client.Write(AppendLines(nil, frames)) }

package hostile

import (
	"context"
	"fmt"
	"strings"
)

// requestKinds are about requests and commands that are legal, or nearly so.
var requestKinds = []Kind{
	{"new-names", (*client).newNames},
	{"many-channels", (*client).manyChannels},
	{"reads", (*client).reads},
	{"far-cursors", (*client).farCursors},
	{"header-bombs", (*client).headerBombs},
	{"poll-floods", (*client).pollFloods},
}

// newNames subscribes to names that nobody has used, and leaves them.
func (c *client) newNames(ctx context.Context) error {
	return c.on(ctx, 0, c.Pause, frames("/ws", "peal.v1"), func(w *wire) error {
		var b []byte
		n := 0
		for ; len(b) < readBytes; n += 2 {
			channel := fmt.Sprintf("new-%d", fresh.Add(1))
			b = appendFrame(b, opText, fmt.Sprintf(`{"id":1,"command":"subscribe","channel":%q}`, channel))
			b = appendFrame(b, opText, fmt.Sprintf(`{"id":2,"command":"unsubscribe","channel":%q}`, channel))
		}
		return sends(b, n)(w)
	})
}

// manyChannels subscribes to as many channels as one command may have, and leaves them.
func (c *client) manyChannels(ctx context.Context) error {
	return c.subscribes(ctx, names(fmt.Sprintf("many-%d-", c.number), c.Channels), "")
}

// reads asks for histories and members in a loop.
func (c *client) reads(ctx context.Context) error {
	path := "/channels/" + ArchivePrefix + "0/history?last=1000&limit=1000"
	if c.turn%2 == 1 {
		path = "/channels/" + ArchivePrefix + "0/presence"
	}
	return c.on(ctx, 0, c.Pause, nil, asks("GET", path, "", nil))
}

// farCursors polls with the oldest cursor of this life of the log, which is of long ago.
func (c *client) farCursors(ctx context.Context) error {
	return c.poll(ctx, names(ArchivePrefix, max(c.Channels-1, 1)), "cursor="+c.Cursor)
}

// headerBombs sends heads of nearly the largest size with as many lines as there may be,
// and heads that are too large.
func (c *client) headerBombs(ctx context.Context) error {
	header := strings.Repeat("X-Bomb: "+strings.Repeat("b", 60)+"\r\n", 98)
	if c.turn%2 == 1 {
		header = strings.Repeat("X:\r\n", 3000)
	}
	return c.on(ctx, 0, c.Pause, nil, asks("GET", "/channels/bombs", header, nil))
}

// pollFloods pipelines polls, each of which waits, as many as fit into one read.
func (c *client) pollFloods(ctx context.Context) error {
	all, n := filled(c.appendRequest(nil, "GET", fmt.Sprintf("/poll?channel=floods-%d&timeout=1", c.number), "", nil), 1)
	return c.on(ctx, 0, c.Pause, func(w *wire) error { w.drain(); return nil }, sends(all, n))
}

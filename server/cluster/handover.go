package cluster

// A node whose process is replaced goes on as the same node: it says neither hello nor that it has left. What is known of the
// nodes is in entries that the log restores.

// Handover is what a Cluster hands over to that of another process, a value for encoding/gob. Fields may be added.
type Handover struct {
	Said  bool // this node has said hello
	Again bool // and is to say it again
}

// HandOver returns it. Run must have ended.
func (c *Cluster) HandOver() Handover {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Handover{Said: c.said, Again: c.again}
}

// Continue goes on for the node of h, behind the last Restore and in place of Hello.
func (c *Cluster) Continue(h Handover) {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.members[c.self]
	c.said, c.again = true, h.Again || !h.Said || own == nil || own.state != Live
}

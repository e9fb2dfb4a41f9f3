package log

import "context"

// Inbox is where programs that are no nodes leave publications for the nodes to move into
// the log. It is a queue in the store of a Distributed engine. Its methods may block for
// the network; one goroutine calls them.
type Inbox interface {
	// Lease reports whether this node is the one that moves, and makes it so if no node is.
	// It must be called again within the time for which a lease holds. A node that was
	// paused may still move when another does: what keeps an entry from being moved twice
	// is its idempotency key, not the lease.
	Lease(ctx context.Context) (held bool, err error)

	// Read returns the oldest entries, at most count with at most so many bytes of fields, but
	// the first whatever its size. If there are none, it waits for a second or so, or until ctx
	// ends; then none is no error. more: there may be others.
	Read(ctx context.Context, count, bytes int) (list []Foreign, more bool, err error)

	// Settle removes the entries moved, and sets the entries refused aside with the reasons.
	// An entry that is not there any more is left out.
	Settle(ctx context.Context, moved []string, refused []Refused) error

	// Waiting is the number of entries in the inbox.
	Waiting(ctx context.Context) (int, error)

	// Leave gives up the lease, so that another node need not wait for its end.
	Leave(ctx context.Context)
}

// Inboxed is an engine that has an inbox.
type Inboxed interface {
	Inbox() Inbox
}

// Foreign is an entry of the inbox as its publisher wrote it.
type Foreign struct {
	ID     string   // given by the store; later ones are greater
	Fields []string // name, value, name, value, …; any bytes
}

// Size is the bytes of the fields.
func (f *Foreign) Size() (bytes int) {
	for _, text := range f.Fields {
		bytes += len(text)
	}
	return bytes
}

// Refused is an entry of the inbox that cannot be published.
type Refused struct {
	Foreign
	Reason string // code: message
}

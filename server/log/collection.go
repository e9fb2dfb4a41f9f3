package log

import "context"

// Document is one of a Collection. Head is small and is listed; Body need not be.
type Document struct {
	Key        string // at most 256 bytes
	Head, Body []byte
}

// Collection is a bounded number of documents in the store of a Distributed engine, the same for all nodes. What is
// lost of the newest entries when the store fails may be lost of a collection, too, and nothing before that.
// Its methods may block for the network. Any goroutine may call them.
type Collection interface {
	// Put adds the document as the newest, or in place of the one with its key. If there are then more than most
	// documents, or more than so many bytes of bodies, the oldest are dropped, but never the newest.
	Put(ctx context.Context, d Document, most, bytes int) (dropped int, err error)

	// Heads are the heads of all, the oldest first.
	Heads(ctx context.Context) ([][]byte, error)

	// Body is the body of the document with that key. ok is false if there is none.
	Body(ctx context.Context, key string) (body []byte, ok bool, err error)

	// Delete reports whether there was a document with that key.
	Delete(ctx context.Context, key string) (found bool, err error)
}

// Collecting is an engine that has collections.
type Collecting interface {
	// Collection is that of a name, of letters and hyphens. It ends with the engine.
	Collection(name string) Collection
}

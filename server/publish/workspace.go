package publish

import (
	"sync"

	"peal/server/ijson"
	"peal/server/names"
	"peal/server/rules"
)

// Larger memory is not kept for the next batch.
const (
	keptBody     = 1 << 20
	keptMessages = 4096
	keptNames    = 1024
)

// workspace is what a batch needs until all of it is appended. The next one uses its memory:
// nothing that outlives a batch may alias it.
type workspace struct {
	body     []byte // the copy that all messages alias
	reader   ijson.Reader
	messages []Message
	set      names.Set
	cache    *names.Cache
	rules    *rules.Table // of cache
}

var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// newWorkspace returns one with a copy of body.
func newWorkspace(body []byte) *workspace {
	w := workspaces.Get().(*workspace)
	w.body = append(w.body[:0], body...)
	return w
}

// use makes the names that the workspace knows those of t. A name that was known before
// keeps its string: entries on one channel share it also over several batches.
func (w *workspace) use(t *rules.Table) {
	switch {
	case w.cache == nil:
		w.cache = names.NewCache(t)
	case w.rules != t:
		w.cache.Use(t)
	}
	w.rules = t
}

// release lets the next batch have the memory.
func (w *workspace) release() {
	w.reader.Start(nil)
	clear(w.messages)
	w.messages = w.messages[:0]
	w.set.Of("")
	if w.cache != nil && w.cache.Len() > keptNames {
		w.cache, w.rules = nil, nil
	}
	if cap(w.body) <= keptBody && cap(w.messages) <= keptMessages {
		workspaces.Put(w)
	}
}

package fake

import (
	"bytes"
	"context"
	"slices"

	"peal/server/log"
)

// Collection implements log.Collecting.
func (n *Node) Collection(name string) log.Collection { return &collection{store: n.store, name: name} }

type collection struct {
	store *Store
	name  string
}

// with calls f with the documents, the oldest first, and keeps what it returns.
func (c *collection) with(f func(all []log.Document) []log.Document) error {
	s := c.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing != nil {
		return s.failing
	}
	if s.collections == nil {
		s.collections = map[string][]log.Document{}
	}
	s.collections[c.name] = f(s.collections[c.name])
	return nil
}

func hasKey(key string) func(log.Document) bool {
	return func(d log.Document) bool { return d.Key == key }
}

func (c *collection) Put(_ context.Context, d log.Document, most, limit int) (dropped int, err error) {
	err = c.with(func(all []log.Document) []log.Document {
		d.Head, d.Body = bytes.Clone(d.Head), bytes.Clone(d.Body)
		all = append(slices.DeleteFunc(all, hasKey(d.Key)), d)
		size := 0
		for i := range all {
			size += len(all[i].Body)
		}
		for len(all) > 1 && (len(all) > most || size > limit) {
			size -= len(all[0].Body)
			all = slices.Delete(all, 0, 1)
			dropped++
		}
		return all
	})
	return dropped, err
}

func (c *collection) Heads(context.Context) (heads [][]byte, err error) {
	err = c.with(func(all []log.Document) []log.Document {
		for _, d := range all {
			heads = append(heads, d.Head)
		}
		return all
	})
	return heads, err
}

func (c *collection) Body(_ context.Context, key string) (body []byte, ok bool, err error) {
	err = c.with(func(all []log.Document) []log.Document {
		if i := slices.IndexFunc(all, hasKey(key)); i >= 0 {
			body, ok = all[i].Body, true
		}
		return all
	})
	return body, ok, err
}

func (c *collection) Delete(_ context.Context, key string) (found bool, err error) {
	err = c.with(func(all []log.Document) []log.Document {
		n := len(all)
		all = slices.DeleteFunc(all, hasKey(key))
		found = len(all) < n
		return all
	})
	return found, err
}

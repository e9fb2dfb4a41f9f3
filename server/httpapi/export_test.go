package httpapi

import (
	"peal/loop"
)

// Looked is how many bytes of heads and chunked bodies the front of h has looked
// at, each time it did.
func Looked(f loop.Front) uint64 {
	return f.(*Front).exchange.looked + f.(*Front).exchange.chunks.looked
}

// Routes is the methods of each path that is served, by the table.
func Routes(f *Front) map[string]string {
	all := map[string]string{}
	for path, r := range f.routes.byPath {
		all[path] = r.methods
	}
	for _, r := range f.routes.patterns {
		all[r.pattern] = r.methods
	}
	return all
}

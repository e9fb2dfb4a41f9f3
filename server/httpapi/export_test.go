package httpapi

import (
	"testing"

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
	for _, b := range f.routes.branches {
		for _, r := range b.routes {
			all[r.pattern] = r.methods
		}
	}
	return all
}

// Find is the pattern of the route of a path and the names in it, by a table of these
// patterns.
func Find(patterns []string) func(path string) (pattern string, found [maxParts]string) {
	var t table
	t.byPath = map[string]*route{}
	for _, p := range patterns {
		t.add(&route{pattern: p})
	}
	var names segments
	return func(path string) (string, [maxParts]string) {
		names = segments{}
		r := t.find([]byte(path), &names)
		var texts [maxParts]string
		if r == nil {
			return "", texts
		}
		for i, name := range names {
			texts[i] = string(name)
		}
		return r.pattern, texts
	}
}

// FindAllocates is the number of allocations of a search for each of the paths.
func FindAllocates(f *Front, paths ...string) float64 {
	var names segments
	list := make([][]byte, len(paths))
	for i, path := range paths {
		list[i] = []byte(path)
	}
	return testing.AllocsPerRun(100, func() {
		for _, path := range list {
			f.routes.find(path, &names)
		}
	})
}

// LoggedPath is how the access log shows a path.
func LoggedPath(path string) string { return string(hideSession([]byte(path))) }

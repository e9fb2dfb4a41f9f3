package mercure

import (
	"bytes"
	"strings"
)

// Path is where the hub is on its host.
const Path = "/.well-known/mercure"

// maxID is the length of the longest id of an update.
const maxID = 200

// IsID reports whether a publisher may give an update that id; empty is none.
func IsID(id []byte) bool {
	for _, c := range id {
		if c < ' ' || c == 0x7F {
			return false
		}
	}
	return len(id) <= maxID && !bytes.HasPrefix(id, []byte("#")) && string(id) != "earliest"
}

// maxRetry is the number of digits of the longest time to reconnect after, in milliseconds.
const maxRetry = 9

// IsRetry reports whether text is a time to reconnect after; empty is none.
func IsRetry(text []byte) bool {
	return len(text) <= maxRetry && len(bytes.Trim(text, "0123456789")) == 0
}

// IsReserved reports whether a topic, read as a URL of the hub's host or of any other, has a
// path of the hub: only the server publishes on these.
func IsReserved(topic string) bool {
	if !strings.Contains(topic, Path) {
		return false // nearly all: each publication is asked about
	}
	path, ok := strings.CutPrefix(topic, "//")
	if !ok {
		_, path, ok = strings.Cut(topic, "://")
	}
	if !ok {
		path = topic // of the hub's own host
	} else if i := strings.IndexAny(path, "/?#"); i >= 0 {
		path = path[i:]
	}
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	rest, ok := strings.CutPrefix(path, Path)
	return ok && (len(rest) == 0 || rest[0] == '/')
}

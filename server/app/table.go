package app

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"peal/server/rate"
	"peal/server/rules"
)

// App is one app. Fixed by New, but for its counts.
type App struct {
	ID, Key, Namespace string

	Public            bool       // see Definition
	ClientEvents      bool       // clients may send client- events
	ClientEventRate   rate.Limit // of one connection
	SubscriptionCount bool
	MaxConnections    int // 0: no limit
	MaxMembers        int

	// Connections are the WebSockets of the app on this server. The tables of a server share it by id.
	Connections *atomic.Int64

	secret []byte
}

// IsSame reports whether a has the key, the secret and the namespace of other, with which
// its clients are. nil is the same as none.
func (a *App) IsSame(other *App) bool {
	return a != nil && other != nil && a.ID == other.ID && a.Key == other.Key && a.Namespace == other.Namespace && string(a.secret) == string(other.secret)
}

// Table is the apps of a server. The nil Table has none.
type Table struct {
	all         []*App
	byKey, byID map[string]*App
	byNamespace map[string]*App

	// Namespaces whose protected channels need a grant: also those of apps that a reload has
	// removed, because what was published on them is still in the log.
	protected map[string]struct{}
}

// New returns the table of definitions, which must be valid (see Validate). others says
// that clients can prove something else to the server, by a token or a key: then an app
// without a namespace is Public only if it says so, since its channels are those of all.
// before is the table that it replaces, nil for none.
func New(definitions []Definition, others bool, before *Table) (*Table, error) {
	t := &Table{byKey: map[string]*App{}, byID: map[string]*App{}, byNamespace: map[string]*App{}, protected: map[string]struct{}{}}
	if before != nil {
		maps.Copy(t.protected, before.protected)
	}
	for _, d := range definitions {
		secret, err := d.secret() // of a file that may have changed since Validate
		if err != nil {
			return nil, fmt.Errorf("app %q: %w", d.ID, err)
		}
		a := &App{
			ID: d.ID, Key: d.Key, Namespace: d.Namespace, secret: secret,
			Public:            d.Public == rules.Yes || d.Public == 0 && (d.Namespace != "" || !others),
			ClientEvents:      d.ClientEvents != rules.No,
			ClientEventRate:   d.ClientEventRate,
			SubscriptionCount: d.SubscriptionCount == rules.Yes,
			MaxConnections:    max(0, d.MaxConnections),
			MaxMembers:        d.MaxMembers,
			Connections:       new(atomic.Int64),
		}
		if !a.ClientEventRate.IsSet() {
			a.ClientEventRate = rate.PerSecond(10)
		}
		if a.MaxMembers <= 0 {
			a.MaxMembers = defaultCount
		}
		if old := before.ByID(d.ID); old != nil {
			a.Connections = old.Connections
		}
		t.all = append(t.all, a)
		t.byKey[a.Key], t.byID[a.ID], t.byNamespace[a.Namespace] = a, a, a
		t.protected[a.Namespace] = struct{}{}
	}
	return t, nil
}

// Remembered is a table without an app, of which apps have had those namespaces earlier.
func Remembered(namespaces []string) *Table {
	t := &Table{protected: map[string]struct{}{}}
	for _, n := range namespaces {
		t.protected[n] = struct{}{}
	}
	return t
}

// Namespaces are those that apps have or have had, sorted.
func (t *Table) Namespaces() []string {
	if t == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(t.protected))
}

// Counts reports whether clients of one of the apps receive the number of subscribers.
func (t *Table) Counts() bool {
	return slices.ContainsFunc(t.All(), func(a *App) bool { return a.SubscriptionCount })
}

// Len is the number of apps.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	return len(t.all)
}

// All are the apps in the order of their definitions. Do not change it.
func (t *Table) All() []*App {
	if t == nil {
		return nil
	}
	return t.all
}

// ByKey is the app with that key, nil for none. It does not allocate.
func (t *Table) ByKey(key []byte) *App {
	if t == nil {
		return nil
	}
	return t.byKey[string(key)]
}

// ByID is the app with that id, nil for none. It does not allocate.
func (t *Table) ByID(id string) *App {
	if t == nil {
		return nil
	}
	return t.byID[id]
}

// Of is the app whose channel that is, nil for none.
func (t *Table) Of(channel string) *App {
	if t == nil {
		return nil
	}
	return t.byNamespace[channel[:len(channel)-len(Name(channel))]]
}

// Protects reports whether only clients that its app has granted the channel may read it,
// or publish on it.
func (t *Table) Protects(channel string) bool {
	if t == nil || len(t.protected) == 0 {
		return false
	}
	name := Name(channel)
	if !IsProtected(name) {
		return false
	}
	_, found := t.protected[channel[:len(channel)-len(name)]]
	return found
}

// Name is the name of a channel as the clients of its app know it: what follows the last
// colon.
func Name(channel string) string { return channel[strings.LastIndexByte(channel, ':')+1:] }

// Prefixes of names.
const (
	Private   = "private-"
	Presence  = "presence-"
	Encrypted = "private-encrypted-" // the server cannot read its data
	User      = "#server-to-user-"   // and the id of the user
)

// IsProtected reports whether a name, as clients of its app know it, needs a signature, or
// is that of a user.
func IsProtected(name string) bool {
	return strings.HasPrefix(name, Private) || strings.HasPrefix(name, Presence) || IsUser(name)
}

// IsUser reports whether a name, as clients of its app know it, is that of a user.
func IsUser(name string) bool { return strings.HasPrefix(name, User) }

// HasCache reports whether new subscribers of a channel receive its last event.
func HasCache(name string) bool {
	rest, found := strings.CutPrefix(name, "cache-")
	if found {
		return rest != ""
	}
	return strings.HasPrefix(name, "private-cache-") || strings.HasPrefix(name, "presence-cache-") || strings.HasPrefix(name, "private-encrypted-cache-")
}

// MaxNameBytes is the length of the longest name, without a namespace.
const MaxNameBytes = 164

// IsName reports whether clients may name a channel so: letters, digits and _-=@,.; with
// one # before them for channels of the server.
func IsName(name []byte) bool {
	if len(name) > 0 && name[0] == '#' {
		name = name[1:]
	}
	if len(name) == 0 || len(name) > MaxNameBytes {
		return false
	}
	for _, c := range name {
		if !isNameByte(c) {
			return false
		}
	}
	return true
}

func isNameByte(c byte) bool {
	switch {
	case '0' <= c && c <= '9', 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z':
		return true
	}
	return strings.IndexByte("_-=@,.;", c) >= 0
}

package app

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"peal/server/pattern"
	"peal/server/rate"
	"peal/server/rules"
)

// Definition is one app in the configuration. Its zero limits are the defaults.
type Definition struct {
	// ID is in the paths of the HTTP API, Key in the URL of every client, and Secret signs
	// what the backend says. SecretFile is a file with the secret, instead.
	ID, Key, Secret, SecretFile string

	// Namespace begins the names of the app's channels, "" or a name that ends with a colon.
	// Each app has another.
	Namespace string

	// Public is whether everybody who knows the key may subscribe to public channels where
	// a token is needed. The default is that of Table: see New.
	Public rules.Choice

	// ClientEvents is whether clients may send client- events, default Yes; ClientEventRate
	// how many one connection may, default 10 a second.
	ClientEvents    rules.Choice
	ClientEventRate rate.Limit

	// SubscriptionCount is whether a client is sent the number of subscribers when it has
	// subscribed and when it has changed, default No.
	SubscriptionCount rules.Choice

	// MaxConnections is how many WebSockets the app may have on a server, 0 for no limit.
	MaxConnections int

	// MaxMembers is how many members a presence channel may have, default 100: each
	// subscriber receives all of them.
	MaxMembers int
}

// The most that a configuration may have.
const (
	Most         = 1000 // apps
	mostID       = 64   // bytes of an id or a key
	mostName     = 32   // bytes of a namespace
	leastSecret  = 8    // bytes
	mostSecret   = 512
	separators   = ":"
	defaultCount = 100
)

// Parse reads an app in one text, ID:KEY:SECRET. The error does not contain the text.
func Parse(text string) (Definition, error) {
	parts := strings.SplitN(text, separators, 3)
	if len(parts) != 3 {
		return Definition{}, errors.New("must be ID:KEY:SECRET, as in 1:shop-key:a-long-secret")
	}
	return Definition{ID: parts[0], Key: parts[1], Secret: parts[2]}, nil
}

// prefixes are those of the variables by which other servers and frameworks name an app,
// the first that is set counts.
var prefixes = []string{"REVERB_APP_", "PUSHER_APP_"}

// FromEnvironment returns the app that variables describe, as os.Environ returns them:
// REVERB_APP_ID, REVERB_APP_KEY and REVERB_APP_SECRET, else the same with PUSHER. ok is false if there is none. from is
// the name of the first variable; the error names the variables that are missing.
func FromEnvironment(environment []string) (d Definition, from string, ok bool, err error) {
	values := map[string]string{}
	for _, entry := range environment {
		if name, value, _ := strings.Cut(entry, "="); value != "" {
			values[name] = value
		}
	}
	for _, prefix := range prefixes {
		var missing []string
		take := func(name string) string {
			if values[prefix+name] == "" {
				missing = append(missing, prefix+name)
			}
			return values[prefix+name]
		}
		d := Definition{ID: take("ID"), Key: take("KEY"), Secret: take("SECRET")}
		switch len(missing) {
		case 0:
			return d, prefix + "ID", true, nil
		case 3:
			continue
		}
		return Definition{}, prefix + "ID", false, fmt.Errorf("%s must be set, too: an app is an id, a key and a secret; or remove the others, or set apps in the configuration", strings.Join(missing, " and "))
	}
	return Definition{}, "", false, nil
}

// Fault is a mistake in one definition.
type Fault struct {
	App  int // its index, from 0
	ID   string
	What string // what is wrong and what to change; no secret
}

func (f *Fault) Error() string { return fmt.Sprintf("app %d, %q: %s", f.App+1, f.ID, f.What) }

// Validate reports all mistakes at once. It returns joined Faults, or an error about all
// definitions. It reads the files of secrets.
func Validate(definitions []Definition) error {
	if len(definitions) > Most {
		return fmt.Errorf("%d apps: must be at most %d", len(definitions), Most)
	}
	var faults []error
	ids, keys, namespaces := map[string]int{}, map[string]int{}, map[string]int{}
	for i, d := range definitions {
		fault := func(format string, args ...any) {
			faults = append(faults, &Fault{i, d.ID, fmt.Sprintf(format, args...)})
		}
		once := func(seen map[string]int, value, what, advice string) {
			if other := seen[value]; other > 0 {
				fault("app %d has this %s already: %s", other, what, advice)
				return
			}
			seen[value] = i + 1
		}
		if !isWord(d.ID) {
			fault("id must be 1 to %d letters, digits, dots, dashes and underscores", mostID)
		} else {
			once(ids, d.ID, "id", "use another")
		}
		if !isWord(d.Key) {
			fault("key must be 1 to %d letters, digits, dots, dashes and underscores", mostID)
		} else {
			once(keys, d.Key, "key", "use another")
		}
		if _, err := d.secret(); err != nil {
			fault("%v", err)
		}
		if err := checkNamespace(d.Namespace); err != nil {
			fault("%v", err)
		} else {
			once(namespaces, d.Namespace, "namespace", fmt.Sprintf("the channels of both would be the same; set namespace, as in namespace: \"%s:\"", "shop"))
		}
		if err := d.ClientEventRate.Check(); err != nil {
			fault("client-event-rate %v", err)
		}
	}
	return errors.Join(faults...)
}

// isWord reports whether text may be an id or a key: it is in paths and, with a colon
// behind it, in signatures.
func isWord(text string) bool {
	if text == "" || len(text) > mostID {
		return false
	}
	for _, c := range []byte(text) {
		if c != '-' && c != '_' && c != '.' && (c < '0' || '9' < c && c < 'A' || 'Z' < c && c < 'a' || 'z' < c) {
			return false
		}
	}
	return true
}

func checkNamespace(text string) error {
	switch {
	case text == "":
		return nil
	case len(text) > mostName, !strings.HasSuffix(text, separators), !pattern.IsPrintable([]byte(text)), text[0] == '$':
		return fmt.Errorf("namespace must be empty, or at most %d bytes of printable UTF-8 that end with a colon and do not begin with $, such as \"shop:\"", mostName)
	}
	return nil
}

// secret is that of the app, from its file if it has one. The error does not contain it.
func (d Definition) secret() ([]byte, error) {
	text := []byte(d.Secret)
	switch {
	case d.Secret != "" && d.SecretFile != "":
		return nil, errors.New("has secret and secret-file: remove one of them")
	case d.SecretFile != "":
		b, err := os.ReadFile(d.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("secret-file: %w", err)
		}
		text = bytes.TrimSpace(b)
		if len(text) == 0 {
			return nil, fmt.Errorf("secret-file: %s is empty: write the secret into it", d.SecretFile)
		}
	case d.Secret == "":
		return nil, errors.New("has no secret: set secret or secret-file to that of your backend (REVERB_APP_SECRET, PUSHER_APP_SECRET)")
	}
	if len(text) < leastSecret || len(text) > mostSecret {
		return nil, fmt.Errorf("has a secret of %d bytes: must be %d to %d, or it can be guessed from a signature; make one with: openssl rand -hex 20", len(text), leastSecret, mostSecret)
	}
	return text, nil
}

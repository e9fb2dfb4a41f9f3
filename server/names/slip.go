package names

import (
	"fmt"
	"strings"

	"peal/server/refusal"
	"peal/server/spelling"
)

// The default channel is for a request that names none and has nothing that is
// not documented. Otherwise a name may be misspelt, or meant for another program, and
// a message for one channel could reach the subscribers of another. Beside a named
// channel an unknown parameter is harmless: proxies and trackers add them.

// StrayParameter refuses a URL that names no channel and has a parameter that is
// not known.
func StrayParameter(name []byte, known []string) *refusal.Error {
	return &refusal.Error{Status: 400, Code: "unknown_parameter", Message: strayMessage("parameter", name, known)}
}

// StrayField refuses a message that names no channel and has a field that is not
// known.
func StrayField(name []byte, known []string) *refusal.Error {
	return &refusal.Error{Status: 400, Code: "unknown_field", Message: strayMessage("field", name, known)}
}

func strayMessage(kind string, name []byte, known []string) string {
	meant := "name a channel, or remove it to use main"
	if k := Nearest(name, known); k != "" {
		meant = "did you mean " + k + "?"
	}
	return fmt.Sprintf("%s is an unknown %s, and no channel is named: %s", quoted(name), kind, meant)
}

// maxSlip bounds the search for similar names, in bytes of the unknown one: each
// comparison takes time, and a request may have thousands of names.
const maxSlip = 40

// Nearest is the known name that name was most likely meant to be, "" if none is
// near.
func Nearest(name []byte, known []string) string {
	if len(name) > maxSlip {
		return ""
	}
	return spelling.Nearest(string(name), known)
}

// maxQuoted is how much of a longer name is quoted: it may be a token or a key.
const maxQuoted = 12

// quoted is a name of the client's in a sentence.
func quoted(name []byte) string {
	text := string(name)
	if len(text) > maxSlip {
		text = text[:maxQuoted] + "…"
	}
	return `"` + strings.ToValidUTF8(text, "?") + `"`
}

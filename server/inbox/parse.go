package inbox

import (
	"strconv"

	"peal/server/log"
	"peal/server/names"
	"peal/server/publish"
	"peal/server/refusal"
)

// Version is that of the form of an entry. An entry without the field v has version 1.
const Version = 1

// own is the publisher of the keys that are made of ids. No client's is equal.
const own = "$inbox"

// maxTTL is the longest ttl, in milliseconds: 1,000 years.
const maxTTL = 1000 * 365 * 24 * 3600 * 1000

// Found in entries.
var (
	errVersion = &refusal.Error{Code: "bad_entry", Message: "v is the version of the entry's form: this server reads 1"}
	errOdd     = &refusal.Error{Code: "bad_entry", Message: "a field without a value"}
	errTwice   = &refusal.Error{Code: "bad_entry", Message: "only channel and user may occur several times"}
	errField   = &refusal.Error{Code: "bad_entry", Message: "unknown field: an entry has channel, user, data, event, key, ttl, binary, exclude and v"}
	errNobody  = &refusal.Error{Code: "bad_entry", Message: "name at least one channel or user"}
	errNoData  = &refusal.Error{Code: "bad_entry", Message: "the field data is missing; it may be empty"}
	errTTL     = &refusal.Error{Code: "bad_entry", Message: "ttl is a number of milliseconds, at least 1"}
	errBinary  = &refusal.Error{Code: "bad_entry", Message: "binary is 1 or 0"}
)

// message is what an entry asks to publish.
type message struct {
	draft publish.Draft
	ttl   int64 // milliseconds; 0 for the rule of the channel
}

// parse reads the fields of f, and adds its channels to set.
func parse(f *log.Foreign, set *names.Set) (m message, err *refusal.Error) {
	if len(f.Fields)%2 != 0 {
		return m, errOdd
	}
	seen := make(map[string]bool, len(f.Fields)/2)
	for i := 0; i < len(f.Fields); i += 2 {
		name, value := f.Fields[i], f.Fields[i+1]
		if seen[name] && name != "channel" && name != "user" {
			return m, errTwice
		}
		seen[name] = true
		if err := m.set(name, value, set); err != nil {
			return m, err
		}
	}
	switch {
	case !seen["data"]:
		return m, errNoData
	case set.Len() == 0:
		return m, errNobody
	}
	if len(m.draft.Key) == 0 {
		m.draft.Key, m.draft.Publisher = []byte("inbox-"+f.ID), own
	}
	return m, m.draft.Check()
}

func (m *message) set(name, value string, set *names.Set) *refusal.Error {
	switch name {
	case "channel":
		return set.Add([]byte(value))
	case "user":
		return set.AddUser([]byte(value))
	case "data":
		m.draft.Data = []byte(value)
	case "event":
		m.draft.Event = []byte(value)
	case "key":
		m.draft.Key = []byte(value)
	case "exclude":
		m.draft.Exclude = []byte(value)
	case "traceparent":
		m.draft.Traceparent = []byte(value)
	case "ttl":
		ms, err := strconv.ParseInt(value, 10, 64)
		if err != nil || ms < 1 || ms > maxTTL {
			return errTTL
		}
		m.ttl = ms
	case "binary":
		if value != "0" && value != "1" {
			return errBinary
		}
		m.draft.Binary = value == "1"
	case "v":
		if value != strconv.Itoa(Version) {
			return errVersion
		}
	default:
		return errField
	}
	return nil
}

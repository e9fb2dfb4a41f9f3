package ask

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"

	"peal/server/share"
)

// Question is what one client wants. Its slices are lent.
type Question struct {
	Action    Action   `json:"-"`
	Transport string   `json:"transport"`
	Channels  []string `json:"channels,omitempty"` // those that the question is about; of Connect those of the URL

	User    string `json:"user,omitempty"`   // proven, by a token or by an earlier answer
	Client  string `json:"client,omitempty"` // the name that it gives itself
	Address string `json:"address,omitempty"`

	Headers map[string]string `json:"headers,omitempty"` // names in lower case; see Definition.Headers

	// Of Publish.
	Event  string `json:"event,omitempty"`
	Data   []byte `json:"-"`
	Binary bool   `json:"-"`

	By share.Key `json:"-"` // whose part of the queue it uses
}

// form is a question as it is sent.
type form struct {
	Action string `json:"action"`
	Question
	Data   *string `json:"data,omitempty"`
	Base64 []byte  `json:"data_base64,omitempty"`
}

// Key is what an answer is found by: the digest of a question and of the configuration in
// force when it was made.
type Key [sha256.Size]byte

// Call is a question ready to be sent. Fixed.
type Call struct {
	Key    Key
	action Action
	body   []byte
	by     share.Key
	under  *settings
}

// newCall makes the question one that can be sent. Only strings and bytes are in it, so
// encoding cannot fail.
func newCall(q *Question, under *settings) *Call {
	f := form{Action: q.Action.String(), Question: *q}
	switch {
	case q.Action != Publish:
	case q.Binary:
		f.Base64 = q.Data
	default:
		text := string(q.Data)
		f.Data = &text
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(f); err != nil {
		panic(err)
	}
	c := &Call{action: q.Action, body: bytes.TrimRight(b.Bytes(), "\n"), by: q.By, under: under}
	h := sha256.New()
	_ = binary.Write(h, binary.BigEndian, under.generation) // a hash never fails
	h.Write(c.body)
	h.Sum(c.Key[:0])
	return c
}

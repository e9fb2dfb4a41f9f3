package dialect

import (
	"bytes"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Dialect says how another server is spoken to. Each text is a Template or a Pattern.
// The keys of a file are the names of peal load's flags; an empty field is its default.
type Dialect struct {
	Name string `yaml:"-" json:"name,omitempty"` // of the file

	// Of the request that opens a connection. Path is for a target that has none;
	// Parameters are names of the query parameter with the channel, the first of which
	// is added unless the target has one. Each of Named is a parameter of the target
	// that is not sent, but a placeholder: pusher's key.
	Transport  string   `yaml:"transport" json:"transport,omitempty"` // ws, sse or poll; "": all
	Path       string   `yaml:"path" json:"path,omitempty"`
	Parameters []string `yaml:"parameters" json:"parameters,omitempty"`
	Named      []string `yaml:"named" json:"named,omitempty"`
	Protocol   string   `yaml:"protocol" json:"protocol,omitempty"` // subprotocol
	Binary     bool     `yaml:"binary" json:"binary,omitempty"`     // frames to the server

	// Cursor says where the response to a long poll has what the next request names as
	// {cursor}: an extract of the body, or "header:NAME".
	Cursor string `yaml:"cursor" json:"cursor,omitempty"`

	// Of what is then sent and awaited before the connection counts as subscribed.
	Steps Steps `yaml:"steps" json:"steps,omitempty"`

	// Of what the server sends. Separator divides a frame into messages. A message that
	// matches Reject ends its connection. Ping is "PATTERN=>REPLY", or "PATTERN" for
	// what is passed over. PingEvery is "25s=TEXT".
	Separator string   `yaml:"separator" json:"separator,omitempty"`
	Extract   []string `yaml:"extract" json:"extract,omitempty"`
	Ping      []string `yaml:"ping" json:"ping,omitempty"`
	PingEvery string   `yaml:"ping-every" json:"ping_every,omitempty"`
	Reject    string   `yaml:"reject" json:"reject,omitempty"`

	// Of publishing: by a request each, or with PublishFrame by a frame each.
	Publish       string   `yaml:"publish" json:"publish,omitempty"` // path on the target's address, or a URL
	PublishMethod string   `yaml:"publish-method" json:"publish_method,omitempty"`
	PublishHeader []string `yaml:"publish-header" json:"-"` // may have secrets
	PublishType   string   `yaml:"publish-type" json:"publish_type,omitempty"`
	PublishBody   string   `yaml:"publish-body" json:"publish_body,omitempty"`
	PublishSteps  Steps    `yaml:"publish-steps" json:"publish_steps,omitempty"`
	PublishFrame  string   `yaml:"publish-frame" json:"publish_frame,omitempty"`
	PublishStatus string   `yaml:"publish-status" json:"publish_status,omitempty"` // "200-299"
	PublishReject string   `yaml:"publish-reject" json:"publish_reject,omitempty"` // a response that refuses in spite of its status

	Code string `yaml:"code" json:"code,omitempty"` // centrifugo or pusher: what is in Go
}

// Step is one of a connection's opening: a frame to send, or a message to wait for.
type Step struct {
	Send   string `yaml:"send,omitempty" json:"send,omitempty"`
	Expect string `yaml:"expect,omitempty" json:"expect,omitempty"`
}

// Steps are taken in their order.
type Steps []Step

//go:embed *.yaml
var files embed.FS

// Names are the dialects of known servers.
func Names() (names []string) {
	all, _ := fs.Glob(files, "*.yaml") // the pattern is right
	for _, name := range all {
		names = append(names, strings.TrimSuffix(name, ".yaml"))
	}
	return names
}

// Named returns the dialect of a known server.
func Named(name string) (*Dialect, error) {
	content, err := files.ReadFile(name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("unknown dialect %q: must be one of %s, or a --dialect FILE", name, strings.Join(Names(), ", "))
	}
	return read(name, content)
}

// Read returns the dialect of a file.
func Read(file string) (*Dialect, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("dialect: %w", err)
	}
	return read(strings.TrimSuffix(filepath.Base(file), ".yaml"), content)
}

func read(name string, content []byte) (*Dialect, error) {
	d := &Dialect{Name: name}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(d); err != nil && err != io.EOF {
		return nil, fmt.Errorf("dialect %s: %w", name, err)
	}
	return d, nil
}

// With returns the dialect with the fields of other that are not empty. Either may be
// nil; nil is no dialect.
func (d *Dialect) With(other *Dialect) *Dialect {
	if other == nil || reflect.ValueOf(*other).IsZero() {
		return d
	}
	both := Dialect{}
	if d != nil {
		both = *d
	}
	to, from := reflect.ValueOf(&both).Elem(), reflect.ValueOf(*other)
	for i := range from.NumField() {
		if !from.Field(i).IsZero() {
			to.Field(i).Set(from.Field(i))
		}
	}
	return &both
}

package endtoend_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"testing"

	"peal/server"
	"peal/server/rules"
)

// compressing starts a server that compresses all messages of at least that many bytes.
func compressing(t testing.TB, least int, more ...func(*server.Config)) *peal {
	return startWith(t, func(c *server.Config) {
		c.Deflate, c.DeflateMinBytes = rules.Yes, least
		for _, f := range more {
			f(c)
		}
	})
}

const agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// A case of RFC 7692, for the npm package ws: what it offers, and what it sends.
type deflateCase struct {
	Name     string         `json:"name"`
	Options  map[string]any `json:"options"`
	Sizes    []int          `json:"sizes"`
	Fragment int            `json:"fragment,omitempty"`

	want string // what is negotiated, beside what is always
}

type deflateResult struct {
	Name, Extensions string
	Wrong            []string
	Pongs            int
}

// Every message comes back to its sender, in text and binary, like JSON and noise.
func TestDeflateWithTheNPMClient(t *testing.T) {
	if _, err := os.Stat("testdata/ws/node_modules/ws"); err != nil {
		lacking(t, "run npm ci in server/endtoend/testdata/ws")
	}
	sizes := []int{0, 1, 16, 125, 126, 1000, 4096, 16 << 10, 65_536, 131_072}
	type o = map[string]any
	cases := []deflateCase{
		{Name: "as it is", Options: o{"threshold": 0}, Sizes: sizes},
		{Name: "its default threshold", Options: o{}, Sizes: sizes},
		{Name: "no context on the server", Options: o{"threshold": 0, "serverNoContextTakeover": true}, Sizes: sizes},
		{Name: "no context at all", Options: o{"threshold": 0, "serverNoContextTakeover": true, "clientNoContextTakeover": true}, Sizes: sizes},
		{Name: "small window of the client", Options: o{"threshold": 0, "clientMaxWindowBits": 9}, Sizes: sizes},
		{Name: "any window of the client", Options: o{"threshold": 0, "clientMaxWindowBits": true}, Sizes: sizes},
		{Name: "smallest window of the server", Options: o{"threshold": 0, "serverMaxWindowBits": 9}, Sizes: sizes, want: "; server_max_window_bits=9"},
		{Name: "small window of the server", Options: o{"threshold": 0, "serverMaxWindowBits": 12, "clientMaxWindowBits": 12}, Sizes: sizes, want: "; server_max_window_bits=12"},
		{Name: "widest window of the server", Options: o{"threshold": 0, "serverMaxWindowBits": 15}, Sizes: sizes, want: "; server_max_window_bits=15"},
		{Name: "everything", Options: o{"threshold": 0, "serverNoContextTakeover": true, "clientNoContextTakeover": true, "serverMaxWindowBits": 10, "clientMaxWindowBits": 10}, Sizes: sizes, want: "; server_max_window_bits=10"},
		{Name: "best compression", Options: o{"threshold": 0, "zlibDeflateOptions": o{"level": 9, "memLevel": 9}}, Sizes: sizes},
		{Name: "stored blocks", Options: o{"threshold": 0, "zlibDeflateOptions": o{"level": 0}}, Sizes: sizes},
		{Name: "fragments", Options: o{"threshold": 0}, Sizes: []int{0, 1, 100, 4096, 65_536}, Fragment: 1000},
		{Name: "many fragments", Options: o{"threshold": 0, "serverMaxWindowBits": 9}, Sizes: []int{1, 100, 1000}, Fragment: 3, want: "; server_max_window_bits=9"},
	}
	p := compressing(t, 1, func(c *server.Config) { c.Loop.MessageBytes = 131_072 * 2 })
	for _, r := range runNPM(t, p, cases) {
		i := 0
		for cases[i].Name != r.Name {
			i++
		}
		c := cases[i]
		if len(r.Wrong) > 0 {
			t.Errorf("%s: %q", c.Name, r.Wrong)
		}
		if want := agreed + c.want; r.Extensions != want {
			t.Errorf("%s: negotiated %q, want %q", c.Name, r.Extensions, want)
		}
		if c.Fragment > 0 && r.Pongs == 0 {
			t.Errorf("%s: no pong between the fragments", c.Name)
		}
	}

	// And not a byte of it where nothing is compressed.
	off := startWith(t, func(c *server.Config) { c.Loop.MessageBytes = 131_072 * 2 })
	for _, r := range runNPM(t, off, cases[:2]) {
		if r.Extensions != "" || len(r.Wrong) > 0 {
			t.Errorf("%s, off: negotiated %q, %q", r.Name, r.Extensions, r.Wrong)
		}
	}
}

func runNPM(t *testing.T, p *peal, cases []deflateCase) (results []deflateResult) {
	t.Helper()
	in, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(tool(t, "node"), "testdata/ws/interop.mjs", "ws://"+p.addr+"/ws?channel="+url.QueryEscape("npm "))
	c.Stdin, c.Stderr = bytes.NewReader(in), os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &results); err != nil {
		t.Fatalf("%v: %.300s", err, out)
	}
	if len(results) != len(cases) {
		t.Fatalf("%d results of %d cases", len(results), len(cases))
	}
	return results
}

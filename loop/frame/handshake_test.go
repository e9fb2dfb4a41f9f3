package frame_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"peal/loop/frame"
)

// RFC 6455 §1.3.
const (
	rfcKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	rfcAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

func TestAppendAcceptOnTheExampleOfTheRFC(t *testing.T) {
	for _, key := range []string{rfcKey, " " + rfcKey + "\t"} {
		if got := frame.AppendAccept([]byte("dst "), []byte(key)); string(got) != "dst "+rfcAccept {
			t.Errorf("%q: %q", key, got)
		}
	}
}

func TestAppendSwitching(t *testing.T) {
	const head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + rfcAccept + "\r\n"
	if got := frame.AppendSwitching(nil, []byte(rfcKey), "", nil); string(got) != head+"\r\n" {
		t.Errorf("%q", got)
	}
	if got := frame.AppendSwitching(nil, []byte(rfcKey), "peal.v1", []byte("Further: line\r\n")); string(got) != head+"Sec-WebSocket-Protocol: peal.v1\r\nFurther: line\r\n\r\n" {
		t.Errorf("%q", got)
	}
}

// request is the good one; with changes it is spoilt.
func request(change func(u *frame.Upgrade)) *frame.Upgrade {
	u := &frame.Upgrade{
		Method:     []byte("GET"),
		HTTP11:     true,
		Upgrade:    []byte("websocket"),
		Connection: []byte("Upgrade"),
		Key:        []byte(rfcKey),
		Version:    []byte("13"),
	}
	change(u)
	return u
}

func TestUpgradeCheck(t *testing.T) {
	check := func(name string, want error, status int, change func(u *frame.Upgrade)) {
		t.Helper()
		err := request(change).Check()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if err != nil && frame.StatusCode(err) != status {
			t.Errorf("%s: status %d, want %d", name, frame.StatusCode(err), status)
		}
	}
	check("good", nil, 0, func(u *frame.Upgrade) {})
	check("Firefox", nil, 0, func(u *frame.Upgrade) { u.Connection = []byte("keep-alive, Upgrade") })
	check("any case", nil, 0, func(u *frame.Upgrade) { u.Upgrade, u.Connection = []byte("WebSocket"), []byte("UPGRADE") })
	check("white space", nil, 0, func(u *frame.Upgrade) { u.Version, u.Key = []byte(" 13\t"), []byte("  "+rfcKey) })
	check("among others", nil, 0, func(u *frame.Upgrade) { u.Upgrade = []byte("h2c , websocket") })

	check("POST", frame.ErrMethod, 405, func(u *frame.Upgrade) { u.Method = []byte("POST") })
	check("get", frame.ErrMethod, 405, func(u *frame.Upgrade) { u.Method = []byte("get") })
	check("HTTP/1.0", frame.ErrHTTPVersion, 400, func(u *frame.Upgrade) { u.HTTP11 = false })
	check("plain GET", frame.ErrNotUpgrade, 426, func(u *frame.Upgrade) { u.Upgrade = nil })
	check("no Connection", frame.ErrNotUpgrade, 426, func(u *frame.Upgrade) { u.Connection = nil })
	check("keep-alive", frame.ErrNotUpgrade, 426, func(u *frame.Upgrade) { u.Connection = []byte("keep-alive") })
	check("to h2c", frame.ErrNotUpgrade, 426, func(u *frame.Upgrade) { u.Upgrade = []byte("h2c") })
	check("no version", frame.ErrVersion, 426, func(u *frame.Upgrade) { u.Version = nil })
	check("version 8", frame.ErrVersion, 426, func(u *frame.Upgrade) { u.Version = []byte("8") })
	check("two versions", frame.ErrVersion, 426, func(u *frame.Upgrade) { u.Version = []byte("13, 8") })
	for name, key := range map[string]string{
		"no key":           "",
		"15 bytes":         base64.StdEncoding.EncodeToString(make([]byte, 15)),
		"17 bytes":         base64.StdEncoding.EncodeToString(make([]byte, 17)),
		"18 bytes":         base64.StdEncoding.EncodeToString(make([]byte, 18)),
		"no padding":       strings.TrimRight(rfcKey, "="),
		"URL alphabet":     "-_" + rfcKey[2:],
		"space inside":     rfcKey[:10] + " " + rfcKey[11:],
		"line feed inside": rfcKey[:10] + "\n" + rfcKey[11:],
		"not base64":       strings.Repeat("!", 24),
		"two keys":         rfcKey + ", " + rfcKey,
	} {
		check(name, frame.ErrKey, 400, func(u *frame.Upgrade) { u.Key = []byte(key) })
	}
}

func TestStatusCode(t *testing.T) {
	if got := frame.StatusCode(fmt.Errorf("upgrade: %w", frame.ErrVersion)); got != http.StatusUpgradeRequired {
		t.Errorf("wrapped: %d", got)
	}
	if got := frame.StatusCode(frame.ErrRSV); got != http.StatusInternalServerError {
		t.Errorf("of no handshake: %d", got)
	}
}

func TestHasToken(t *testing.T) {
	for _, c := range []struct {
		list, token string
		want        bool
	}{
		{"", "upgrade", false},
		{"upgrade", "upgrade", true},
		{"Upgrade", "uPGRADE", true},
		{"keep-alive,Upgrade", "upgrade", true},
		{" \tkeep-alive\t ,  upgrade \t", "upgrade", true},
		{",,upgrade,", "upgrade", true},
		{"upgrades", "upgrade", false},
		{"no upgrade", "upgrade", false},
		{"upgrad\u0435", "upgrade", false},
		{"websoc\u212Aet", "websocket", false}, // Kelvin sign
		{"\"upgrade\"", "upgrade", false},
		{"keep-alive;upgrade", "upgrade", false},
	} {
		if got := frame.HasToken([]byte(c.list), c.token); got != c.want {
			t.Errorf("HasToken(%q, %q) = %v", c.list, c.token, got)
		}
	}
}

func TestChooseProtocolPrefersWhatTheClientPrefers(t *testing.T) {
	ours := []string{"peal.v1", "peal.raw"}
	for offered, want := range map[string]string{
		"":                    "",
		"peal.v1":             "peal.v1",
		"peal.raw, peal.v1":   "peal.raw",
		"mqtt,\tpeal.v1 ,x":   "peal.v1",
		"PEAL.V1":             "",
		"peal.v12, peal":      "",
		",, peal.raw":         "peal.raw",
		"graphql-ws,mqtt, \t": "",
	} {
		if got := frame.ChooseProtocol([]byte(offered), ours); got != want {
			t.Errorf("%q: %q, want %q", offered, got, want)
		}
	}
}

func TestHandshakeDoesNotAllocate(t *testing.T) {
	u := request(func(u *frame.Upgrade) { u.Protocols = []byte("x, peal.v1") })
	bad := request(func(u *frame.Upgrade) { u.Key = u.Key[1:] })
	ours := []string{"peal.v1", "peal.raw"}
	dst := make([]byte, 0, 512)
	allocs := testing.AllocsPerRun(100, func() {
		if u.Check() != nil || bad.Check() == nil {
			t.Error("wrong verdict")
		}
		frame.AppendAccept(dst, u.Key)
		frame.AppendSwitching(dst, u.Key, frame.ChooseProtocol(u.Protocols, ours), nil)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func FuzzHandshake(f *testing.F) {
	f.Add("GET", "websocket", "keep-alive, Upgrade", rfcKey, "13", "peal.v1, x")
	f.Add("GET", " ,,\t", ",", "====", "", ",")
	f.Fuzz(func(t *testing.T, method, upgrade, connection, key, version, protocols string) {
		u := frame.Upgrade{Method: []byte(method), HTTP11: true, Upgrade: []byte(upgrade), Connection: []byte(connection),
			Key: []byte(key), Version: []byte(version), Protocols: []byte(protocols)}
		// The same rules by the standard library.
		good := method == "GET" && hasToken(upgrade, "websocket") && hasToken(connection, "upgrade") && strings.Trim(version, " \t") == "13"
		trimmed := strings.Trim(key, " \t")
		raw, err := base64.StdEncoding.DecodeString(trimmed)
		good = good && len(trimmed) == 24 && err == nil && len(raw) == 16
		if err := u.Check(); (err == nil) != good {
			t.Errorf("%+q: %v, want good %v", []string{method, upgrade, connection, key, version}, err, good)
		}
		want := ""
		for name := range strings.SplitSeq(protocols, ",") {
			if name = strings.Trim(name, " \t"); want == "" && (name == "a" || name == "b") {
				want = name
			}
		}
		if got := frame.ChooseProtocol(u.Protocols, []string{"b", "a"}); got != want {
			t.Errorf("protocol of %q: %q, want %q", protocols, got, want)
		}
		head := frame.AppendSwitching(nil, u.Key, want, nil)
		if !bytes.HasSuffix(head, []byte("\r\n\r\n")) || bytes.Count(head, []byte("\r\n")) > 6 {
			t.Errorf("%q", head)
		}
	})
}

func hasToken(list, token string) bool {
	for item := range strings.SplitSeq(list, ",") {
		item = strings.Trim(item, " \t")
		if len(item) == len(token) && strings.EqualFold(item, token) { // with equal lengths, no Kelvin sign folds
			return true
		}
	}
	return false
}

// Check's own look at a key agrees with the decoder of the standard library.
func TestKeysAreThoseThatDecodeTo16Bytes(t *testing.T) {
	for _, key := range []string{"", "==", rfcKey[:23], rfcKey + "=", "dGhlIHNhbXBsZSBub25jZ===", "dGhlIHNhbXBsZSBub25jZQ= ", "dGhlIHNhbXBsZSBub25jZQA=", "dGhlIHNhbXBsZSBub25jZQAA", "dGhlIHNhbXBsZSBub25jZQ\r\n", "dGhlIHNhbXBsZSBub25j====", "dGhl\nHNhbXBsZSBub25jZQ=="} {
		checkKey(t, []byte(key))
	}
	for at := range rfcKey {
		for c := range 256 {
			key := []byte(rfcKey)
			key[at] = byte(c)
			checkKey(t, key)
		}
	}
}

func checkKey(t *testing.T, key []byte) {
	t.Helper()
	u := frame.Upgrade{Method: []byte("GET"), HTTP11: true, Upgrade: []byte("websocket"), Connection: []byte("upgrade"), Version: []byte("13"), Key: key}
	raw, err := base64.StdEncoding.DecodeString(strings.Trim(string(key), " \t"))
	want := err == nil && len(raw) == 16 && len(strings.Trim(string(key), " \t")) == 24
	if got := u.Check() == nil; got != want {
		t.Errorf("%q: a key: %t, want %t", key, got, want)
	}
}

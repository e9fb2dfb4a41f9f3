package httpapi_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
)

// varies reports whether Vary has Accept-Encoding, for caches.
func varies(r *http.Response) bool {
	return strings.Contains(strings.Join(r.Header.Values("Vary"), ","), "Accept-Encoding")
}

func TestScriptsAndPageAreCompressedAndCached(t *testing.T) {
	h := newHarness(t)
	with := func(path string, lines ...string) string {
		return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + strings.Join(append(lines, "", ""), "\r\n")
	}
	for path, cache := range map[string]string{"/peal.js": "public, max-age=600", "/peal-presence.js": "public, max-age=600", "/peal-share.js": "public, max-age=600", "/": "no-cache"} {
		plain, whole := h.answer(get(path))
		tag := plain.Header.Get("ETag")
		if plain.Header.Get("Content-Encoding") != "" || len(tag) < 10 || !varies(plain) || plain.Header.Get("Cache-Control") != cache {
			t.Errorf("%s: %v", path, plain.Header)
		}
		packed, body := h.answer(with(path, "Accept-Encoding: br;q=1.0, gzip;q=0.8"))
		if packed.Header.Get("Content-Encoding") != "gzip" || packed.Header.Get("ETag") == tag || !varies(packed) || packed.Header.Get("Content-Type") != plain.Header.Get("Content-Type") {
			t.Errorf("%s compressed: %v", path, packed.Header)
		}
		r, err := gzip.NewReader(strings.NewReader(body))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if unpacked, err := io.ReadAll(r); err != nil || string(unpacked) != whole || len(body) > len(whole)/2 {
			t.Errorf("%s: %d bytes compressed, %d unpacked of %d, %v", path, len(body), len(unpacked), len(whole), err)
		}
		if path == "/peal.js" && len(body) > 6550 {
			t.Errorf("%s has %d bytes compressed, README says 6.4 KB (as the copy here is compressed, 6.5)", path, len(body))
		}
		for _, line := range []string{tag, "W/" + tag, `"other", ` + packed.Header.Get("ETag"), "*"} {
			resp, body := h.answer(with(path, "If-None-Match: "+line, "Accept-Encoding: gzip"))
			if resp.StatusCode != 304 || body != "" || resp.Header.Get("ETag") != packed.Header.Get("ETag") || resp.Header.Get("Cache-Control") != cache || !varies(resp) {
				t.Errorf("%s, If-None-Match: %s: %d, %v, %q", path, line, resp.StatusCode, resp.Header, body)
			}
		}
		if resp, body := h.answer(with(path, `If-None-Match: "other"`)); resp.StatusCode != 200 || body != whole {
			t.Errorf("%s, another tag: %d", path, resp.StatusCode)
		}
		if resp, _ := h.answer(strings.Replace(with(path, "Accept-Encoding: gzip"), "GET", "HEAD", 1)); resp.StatusCode != 200 || resp.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("HEAD %s: %d %v", path, resp.StatusCode, resp.Header)
		}
	}
	for accept, want := range map[string]bool{
		"gzip": true, "GZIP": true, "deflate, gzip": true, "*": true, "br, *;q=0.1": true, "gzip;q=0.001": true, "x-gzip": true, "gzip; q=1": true,
		"": false, "br": false, "identity": false, "gzip;q=0": false, "gzip;q=0.000": false, "gzip; Q=0": false, "*;q=0": false, "*, gzip;q=0": false, "gzipped": false,
	} {
		resp, _ := h.answer(with("/peal.js", "Accept-Encoding: "+accept))
		if got := resp.Header.Get("Content-Encoding") == "gzip"; got != want {
			t.Errorf("Accept-Encoding: %s: compressed %v, want %v", accept, got, want)
		}
	}
}

package httpapi_test

import (
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"

	"peal/server/httpapi"
)

// docs/http.md lists the routes that there are, and no others.
func TestRoutesAreDocumented(t *testing.T) {
	h := newHarness(t)
	page, err := os.ReadFile("../../docs/http.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "\n## Requests\n")
	if !ok {
		t.Fatal("docs/http.md has no section Requests")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([A-Z, ]+) \\|").FindAllStringSubmatch(section, -1) {
		documented[row[1]] = row[2]
	}
	served := httpapi.Routes(h.front)
	delete(served, "*") // OPTIONS only
	if !maps.Equal(served, documented) {
		t.Errorf("served %v\ndocumented %v", served, documented)
	}
}

// Each route answers OPTIONS and 405 with the methods of its row.
func TestRoutesAnswerFromTheirTable(t *testing.T) {
	h := newHarness(t)
	for pattern, methods := range httpapi.Routes(h.front) {
		target := strings.Replace(pattern, "{channel}", "a", 1)
		for method, status := range map[string]int{"OPTIONS": 204, "PATCH": 405} {
			if target == "*" && method != "OPTIONS" {
				continue
			}
			resp, body := h.answer(method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
			if got := resp.Header.Get("Allow"); resp.StatusCode != status || got != methods+", OPTIONS" {
				t.Errorf("%s %s: %d Allow %q %s, want %d %s, OPTIONS", method, target, resp.StatusCode, got, body, status, methods)
			}
		}
	}
}

// A pattern may have several names, none of which has a slash or is empty.
func TestPathsWithSeveralNames(t *testing.T) {
	find := httpapi.Find([]string{"/a", "/a/{x}", "/a/{x}/b", "/a/{x}/b/{y}", "/a/{x}/b/{y}/c", "/other/{x}"})
	for path, want := range map[string][3]string{
		"/a": {"/a"}, "/a/1": {"/a/{x}", "1"}, "/a/1/b": {"/a/{x}/b", "1"}, "/a/1/b/2": {"/a/{x}/b/{y}", "1", "2"},
		"/a/b/b/b/c": {"/a/{x}/b/{y}/c", "b", "b"}, "/other/%2f": {"/other/{x}", "%2f"},
		"/a/": {}, "/a//b": {}, "/a/1/": {}, "/a/1/c": {}, "/a/1/b/": {}, "/a/1/b//c": {}, "/a/1/b/2/": {}, "/a/1/b/2/c/": {}, "/a/1/b/2/c/d": {},
		"/A/1": {}, "/": {}, "": {}, "/others/1": {}, "/other": {}, "//a/1": {},
	} {
		pattern, names := find(path)
		if got := [3]string{pattern, names[0], names[1]}; got != want || names[2] != "" {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

func TestFindingARouteDoesNotAllocate(t *testing.T) {
	if n := httpapi.FindAllocates(newHarness(t).front, "/publish", "/channels/a", "/channels/a/history", "/nothing", "/channels/a/b/c/d/e"); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A reader of the log cannot send as the client of a session.
func TestTheAccessLogHidesSessions(t *testing.T) {
	for path, want := range map[string]string{
		"/pusher/app/key/1/abcdefgh/xhr_send": "/pusher/app/key/1/-/xhr_send", "/pusher/app/key/1/abcdefgh/": "/pusher/app/key/1/-/",
		"/pusher/app/": "/pusher/-/", "/pusher/apps/a/b": "/pusher/apps/a/b", "/app/key": "/app/key",
	} {
		if got := httpapi.LoggedPath(path); got != want {
			t.Errorf("%s is logged as %s, want %s", path, got, want)
		}
	}
}

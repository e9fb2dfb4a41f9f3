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

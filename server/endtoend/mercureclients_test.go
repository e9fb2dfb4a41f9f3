package endtoend_test

import (
	"html/template"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Unchanged clients of the Mercure protocol, as black boxes.

// Each npm package that stands in for EventSource is cut off before its first update, and
// must not miss one.
func TestMercureClientsKeepTheFirstPosition(t *testing.T) {
	h := startHub(t, nil)
	for _, name := range []string{"eventsource", "event-source-polyfill", "@microsoft/fetch-event-source"} {
		t.Run(strings.ReplaceAll(name, "/", "-"), func(t *testing.T) {
			topic := "https://a/position/" + filepath.Base(name)
			proxy := proxyTo(t, h.addr)
			next := eventSource(t, name, proxy.url+hubPath+"?topic="+topic+"&topic=other&authorization="+reader("https://a/position/{name}"))
			if line := next(); !strings.HasPrefix(line, "peal.cursor ") {
				t.Fatalf("first the client hears %q, want its position", line)
			}
			proxy.set(faults{down: true})
			h.update("topic", topic, "topic", "other", "data", "while it was away", "private", "on")
			proxy.set(faults{})
			message := func() string {
				for {
					if line := next(); !strings.HasPrefix(line, "peal.cursor ") {
						return line
					}
				}
			}
			if line := message(); line != "message while it was away" {
				t.Errorf("after it was cut off the client hears %q", line)
			}
			h.update("topic", topic, "data", "after")
			if line := message(); line != "message after" {
				t.Errorf("then the client hears %q", line)
			}
		})
	}
}

// mercurePackages has the npm packages of the page: npm ci in that folder.
const mercurePackages = "testdata/mercure"

// Turbo's stream sources, htmx's extension and an EventSource with a cookie, in a browser
// whose connection breaks.
func TestMercureInABrowser(t *testing.T) {
	tool(t, "chromium")
	scripts := map[string]string{"/turbo.js": "@hotwired/turbo/dist/turbo.es2017-umd.js", "/htmx.js": "htmx.org/dist/htmx.js", "/sse.js": "htmx-ext-sse/sse.js"}
	for _, file := range scripts {
		if _, err := os.Stat(filepath.Join(mercurePackages, "node_modules", file)); err != nil {
			lacking(t, file+" is not in "+mercurePackages+"/node_modules: run npm ci there")
		}
	}
	page, err := template.ParseFiles(mercurePackages + "/page.html")
	if err != nil {
		t.Fatal(err)
	}
	t.Parallel() // it waits most of the time
	h := startHub(t, nil)
	proxy := proxyTo(t, h.addr)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "mercureAuthorization", Value: reader("plain", "https://a/turbo/{id}"), HttpOnly: true, Path: "/.well-known/mercure"})
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := page.Execute(w, proxy.url+hubPath); err != nil {
			t.Error(err)
		}
	})
	for path, file := range scripts {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			http.ServeFile(w, r, filepath.Join(mercurePackages, "node_modules", file))
		})
	}
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	browser := browse(t, site.URL)
	appendTo := func(target, text string) string {
		return `<turbo-stream action="append" target="` + target + `"><template><li>` + text + `</li></template></turbo-stream>`
	}
	publish := func(text string) {
		h.update("topic", "turbo", "data", appendTo("turbo", text))
		h.update("topic", "https://a/turbo/7", "data", appendTo("connected", text), "private", "on")
		h.update("topic", "htmx", "data", "<li>"+text+"</li>\n")
		h.update("topic", "htmx", "data", "<li>"+text+"</li>", "type", "goal")
		h.update("topic", "plain", "data", text, "private", "on")
	}
	browser.until(`window.plain && plain.readyState === 1 && turboSource.readyState === 1`)
	for _, topic := range []string{"turbo", "htmx", "plain"} {
		h.awaitSubscribers(topic, 1)
	}
	publish("one")
	all := func(text string) {
		t.Helper()
		for _, id := range []string{"turbo", "connected", "messages", "goals"} {
			browser.until(`text("` + id + `") === "` + text + `"`)
		}
		browser.until(`heard.join() === "` + text + `"`)
	}
	all("one")
	proxy.set(faults{down: true})
	publish("two")
	proxy.set(faults{})
	all("one,two")
	publish("three")
	all("one,two,three")
}

// Debian's symfony/mercure publishes as an application of Symfony does.
func TestMercureSymfonyPublishes(t *testing.T) {
	debianPHP(t, "Symfony/Component/Mercure/autoload.php", "php-symfony-mercure")
	h := startHub(t, nil)
	s := h.updates(reader("https://a/books/{id}"), "https://a/books/1", "https://a/users/7")
	said := lines(t, "mercure/publish.php", h.url+hubPath, h.publisher)
	if len(said) != 3 || said[1] != "urn:uuid:1" || said[2] != "refused: 401" {
		t.Fatalf("it says %q", said)
	}
	if e := s.heard(t, "public", `{"text":"Gr\u00fc\u00dfe\n\u20ac"}`); e.id != said[0] {
		t.Errorf("%+v, want the id %s", e, said[0])
	}
	if e := s.heard(t, "private", "secret\nof two lines"); e.name != "goal" || s.retry != "3000" {
		t.Errorf("%+v, retry %s", e, s.retry)
	}
}

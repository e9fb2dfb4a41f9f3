package admin_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"peal/server/admin"
	"peal/server/auth"
	"peal/server/inspect"
)

// hostile is what a client may have named itself, or what came on the way.
var hostile = []string{`<img src=x onerror=alert(1)>`, "\u202egnp.exe", "a\x00b", "\xff\xfe", `"]}`, strings.Repeat("x", 64<<10)}

// inspected is a source with connections.
type inspected struct {
	source
	err  error
	left chan struct{}
}

func (s *inspected) Inspect(_ context.Context, q inspect.Query) (inspect.Page, error) {
	page := inspect.Page{Next: inspect.Next(1, 7)}
	for _, name := range hostile {
		page.Connections = append(page.Connections, inspect.Connection{Session: "s", Client: name, Info: name, Channels: []string{q.Channel, name}})
	}
	return page, s.err
}
func (s *inspected) InspectOne(_ context.Context, session string) (*inspect.Connection, *inspect.Gone, error) {
	if session == "gone" {
		return nil, &inspect.Gone{Session: session, End: &inspect.End{Reason: hostile[0]}}, s.err
	}
	return &inspect.Connection{Session: session}, nil, s.err
}
func (s *inspected) Ends(_ context.Context, q inspect.Query) (inspect.Ends, error) {
	return inspect.Ends{Ends: []inspect.End{{Client: q.User}}}, s.err
}
func (s *inspected) InspectChannel(name string) (inspect.Channel, error) {
	return inspect.Channel{Channel: name}, s.err
}
func (s *inspected) Top(_ context.Context, n int) (inspect.Top, error) {
	return inspect.Top{Busiest: []inspect.ChannelRate{{Channel: hostile[0], Publications: uint64(n)}}}, s.err
}
func (s *inspected) MemoryLimit() int      { return 4096 }
func (s *inspected) Left() <-chan struct{} { return s.left }
func (s *inspected) EndConnection(_ context.Context, session string) error {
	if session != "open" {
		return &inspect.Error{Status: 404, Code: "no_connection", Message: "none"}
	}
	return s.err
}
func (s *inspected) DisconnectClient(_ context.Context, o inspect.Order) (inspect.Disconnected, error) {
	return inspect.Disconnected{Disconnected: len(o.Client), KeptAway: o.Seconds != nil}, s.err
}
func (s *inspected) SendTest(_ context.Context, m inspect.Message) (inspect.Sent, error) {
	return inspect.Sent{Cursor: m.Channel + m.Data + m.Event}, s.err
}

func TestInspectionHasRoutes(t *testing.T) {
	s := &inspected{source: source{ready: true}}
	h := admin.Handler(s, &auth.Policy{})
	for _, k := range []struct {
		method, path, body string
		status             int
		has                string
	}{
		{"GET", "/connections?channel=a", "", 200, `"channels":["a",`},
		{"GET", "/connections?limit=x", "", 400, `"code":"bad_limit"`},
		{"GET", "/connections?%zz", "", 400, `"code":"bad_parameter"`},
		{"GET", "/connections/abc", "", 200, `"session":"abc"`},
		{"GET", "/connections/abc?x=1", "", 400, `"code":"unknown_parameter"`},
		{"GET", "/connections/gone", "", 404, `"open":false,"last_end":{`},
		{"GET", "/connections/ended?user=ann", "", 200, `"client":"ann"`},
		{"GET", "/connections/ended?channel=a", "", 400, `"code":"unknown_parameter"`},
		{"GET", "/channel?name=%3Cb%3E", "", 200, `"channel":"\u003cb\u003e"`},
		{"GET", "/live", "", 200, `"limit":4096`},
		{"GET", "/live?top=3", "", 200, `"publications":3,`},
		{"GET", "/live?top=51", "", 400, `"code":"bad_top"`},
		{"GET", "/live?every=1ms", "", 400, `"code":"bad_every"`},
		{"POST", "/connections/open/disconnect", "", 200, `{"disconnected":1}`},
		{"POST", "/connections/x/disconnect", "", 404, `"code":"no_connection"`},
		{"GET", "/connections/x/disconnect", "", 405, ""},
		{"POST", "/disconnect", `{"client":"ann"}`, 200, `{"disconnected":3,"kept_away":false,`},
		{"POST", "/disconnect", `{"client":"ann","for_s":0}`, 200, `"kept_away":true`},
		{"POST", "/disconnect", `{"user":"ann"}`, 400, `"code":"bad_json"`},
		{"POST", "/publish", `{"channel":"a","data":"b","event":"c"}`, 200, `{"cursor":"abc",`},
		{"POST", "/publish", `{"channel":"a"`, 400, `"code":"bad_json"`},
		{"POST", "/publish", `{"data":"` + strings.Repeat("x", 3<<20) + `"}`, 413, `"code":"too_large"`},
		{"GET", "/publish", "", 405, ""},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(k.method, "http://127.0.0.1:8081"+k.path, strings.NewReader(k.body))
		if k.body != "" {
			r.Header.Set("Content-Type", "application/json; charset=utf-8")
		}
		h.ServeHTTP(w, r)
		if w.Code != k.status || !strings.Contains(w.Body.String(), k.has) {
			t.Errorf("%s %s %.60s: %d %.300s", k.method, k.path, k.body, w.Code, w.Body)
		}
		if w.Code != 405 && (w.Header().Get("Content-Type") != "application/json" || !json.Valid(w.Body.Bytes())) {
			t.Errorf("%s %s: %v, not JSON", k.method, k.path, w.Header())
		}
	}
	form := httptest.NewRequest("POST", "http://127.0.0.1:8081/publish", strings.NewReader("channel=a&data=b"))
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, form); w.Code != 415 {
		t.Errorf("a form: %d", w.Code)
	}
	s.err = errors.New("a fault")
	for _, path := range []string{"/connections", "/connections/abc", "/connections/ended", "/channel?name=a", "/live?top=1"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1:8081"+path, nil))
		if w.Code != 500 || !strings.Contains(w.Body.String(), "a fault") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	s.err = &inspect.Error{Status: 429, Code: "too_many_walks", Message: "later"}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1:8081/connections", nil))
	if w.Code != 429 || w.Header().Get("Retry-After") != "1" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	s.source.err, s.err = errors.New("stuck"), nil
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1:8081/live", nil))
	if w.Code != 503 || !strings.Contains(w.Body.String(), `"code":"busy"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// What clients have named themselves is text in JSON, without a character that HTML knows, and
// valid whatever it was.
func TestHostileStringsAreJSONText(t *testing.T) {
	h := admin.Handler(&inspected{source: source{ready: true}}, &auth.Policy{})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1:8081/connections", nil))
	if strings.ContainsAny(w.Body.String(), "<>\x00") {
		t.Error("the JSON has < or >")
	}
	var page inspect.Page
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || len(page.Connections) != len(hostile) || page.Next != "1.7" {
		t.Fatalf("%v", err)
	}
	for i, name := range hostile {
		if want := strings.ToValidUTF8(name, "\ufffd\ufffd"); page.Connections[i].Client != want {
			t.Errorf("%.40q became %.40q", name, page.Connections[i].Client)
		}
	}
}

func TestChangesFromABrowserNeedTheToken(t *testing.T) {
	h := admin.Handler(&inspected{source: source{ready: true}}, &auth.Policy{})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1:8081/csrf", nil))
	var answer struct{ Token string }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || len(answer.Token) < 22 || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("%s", w.Body)
	}
	post := func(path string, headers map[string]string) int {
		r := httptest.NewRequest("POST", "http://127.0.0.1:8081"+path, strings.NewReader(`{"client":"ann"}`))
		r.Header.Set("Content-Type", "application/json")
		for name, value := range headers {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	for _, path := range []string{"/disconnect", "/connections/open/disconnect", "/reload", "/webhooks/retry?webhook=shop"} {
		for _, k := range []struct {
			headers map[string]string
			want    int
		}{
			{nil, 200}, // a program
			{map[string]string{"Origin": "http://127.0.0.1:8081"}, 403},
			{map[string]string{"Sec-Fetch-Site": "same-origin"}, 403},
			{map[string]string{"Sec-Fetch-Site": "none"}, 403},
			{map[string]string{"Referer": "http://127.0.0.1:8081/"}, 403},
			{map[string]string{"Cookie": "a=b"}, 403},
			{map[string]string{"Origin": "http://127.0.0.1:8081", "Peal-CSRF": "x"}, 403},
			{map[string]string{"Origin": "http://127.0.0.1:8081", "Sec-Fetch-Site": "same-origin", "Peal-CSRF": answer.Token}, 200},
			{map[string]string{"Origin": "https://evil.example", "Peal-CSRF": answer.Token}, 403},
			{map[string]string{"Sec-Fetch-Site": "cross-site", "Peal-CSRF": answer.Token}, 403},
		} {
			if got := post(path, k.headers); got != k.want {
				t.Errorf("%s with %v: %d, want %d", path, k.headers, got, k.want)
			}
		}
	}
	other := admin.Handler(&inspected{source: source{ready: true}}, &auth.Policy{})
	w = httptest.NewRecorder()
	other.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1:8081/csrf", nil))
	if strings.Contains(w.Body.String(), answer.Token) {
		t.Error("two processes have the same token")
	}
}

// A page of the dashboard loads nothing from elsewhere, and has no script or style inside.
func TestDashboardPages(t *testing.T) {
	h := admin.Handler(&source{ready: true}, &auth.Policy{})
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1:8081"+path, nil))
		return w
	}
	if w := get("/"); w.Code != 302 || w.Header().Get("Location") != "/dashboard/" {
		t.Errorf("/: %d %v", w.Code, w.Header())
	}
	files, err := os.ReadDir("dashboard")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	kinds := map[string]string{".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	for _, file := range files {
		path, kind := "/dashboard/"+strings.TrimSuffix(file.Name(), "index.html"), kinds[filepath.Ext(file.Name())]
		w := get(path)
		policy := w.Header().Get("Content-Security-Policy")
		if w.Code != 200 || w.Header().Get("Content-Type") != kind || w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") || !strings.Contains(policy, "script-src 'self';") {
			t.Errorf("%s: %s", path, policy)
		}
		for _, never := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style=", "<style", " onclick=", "javascript:", "https://", "http://www"} {
			text := strings.ReplaceAll(w.Body.String(), "http://www.w3.org/2000/svg", "")
			if strings.Contains(text, never) {
				t.Errorf("%s has %s", path, never)
			}
		}
	}
	for _, path := range []string{"/dashboard/missing.js", "/dashboard/../admin.go", "/dashboard"} {
		if w := get(path); w.Code < 300 || strings.Contains(w.Body.String(), "package admin") {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestLiveIsStreamedToALimitedNumber(t *testing.T) {
	server := httptest.NewServer(admin.Handler(&inspected{source: source{ready: true}}, &auth.Policy{}))
	defer server.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watch := func() *http.Response {
		r, _ := http.NewRequestWithContext(ctx, "GET", server.URL+"/live?every=1s&top=2", nil)
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { response.Body.Close() })
		return response
	}
	for i := range admin.MostWatchers {
		response := watch()
		if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("watcher %d: %d", i, response.StatusCode)
		}
		r := bufio.NewReader(response.Body)
		line, err := r.ReadString('\n')
		if err != nil || line != "retry: 1000\n" {
			t.Errorf("a watcher that is cut off comes back when? %q %v", line, err)
		}
		_, _ = r.ReadString('\n')
		line, err = r.ReadString('\n')
		data, ok := strings.CutPrefix(line, "data: ")
		var live inspect.Live
		if err != nil || !ok || json.Unmarshal([]byte(data), &live) != nil || live.Connections.All != 15 || live.Top == nil {
			t.Fatalf("watcher %d: %q %v", i, line, err)
		}
	}
	response := watch()
	if response.StatusCode != 429 {
		t.Fatalf("one too many: %d", response.StatusCode)
	}
	if body, _ := io.ReadAll(response.Body); !strings.Contains(string(body), "too_many_watchers") {
		t.Errorf("one too many: %d %s", response.StatusCode, body)
	}
	plain, err := server.Client().Get(server.URL + "/live")
	if err != nil || plain.StatusCode != 200 {
		t.Errorf("without every: %v %v", plain, err)
	}
	plain.Body.Close()
	cancel()
}

func TestWatchersLeaveWhenAnotherProcessTakesOver(t *testing.T) {
	left := make(chan struct{})
	server := httptest.NewServer(admin.Handler(&inspected{source: source{ready: true}, left: left}, &auth.Policy{}))
	defer server.Close()
	response, err := server.Client().Get(server.URL + "/live?every=1m")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	close(left)
	body, err := io.ReadAll(response.Body) // ends
	if err != nil || !strings.HasSuffix(string(body), "}\n\nevent: upgraded\ndata: {}\n\n") {
		t.Errorf("%v, %q", err, body)
	}
}

func TestLiveAddsUpTheLoops(t *testing.T) {
	h := admin.Handler(&source{ready: true, behind: "the node is behind"}, &auth.Policy{})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1:8081/live", nil))
	var v inspect.Live
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(v.State, "; ", v.Connections.All, v.Connections.SSE, v.Connections.HTTP, v.Connections.TLS, "; ", v.Counters.Publications, "; ", v.Log.Head, v.Log.Known, v.Log.Behind, "; ",
		len(v.Loops), v.Loops[0].Busy, v.Loops[1].Behind, "; ", v.Refusals, v.Closes, v.Channels.Channels, v.Memory.History, "; ", v.Latency.Counts[0], v.Latency.Sum, v.Latency.Bounds[0])
	if want := "the node is behind; 15 11 4 5; 6; 9 12 1500; 2 1500000 5; map[log_full:4] map[1001:3 other:1] 3 700; 6 4.2e+07 25"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

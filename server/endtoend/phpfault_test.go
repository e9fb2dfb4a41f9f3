package endtoend_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fake is a server that is not Peal: it answers as the test says, and keeps
// what it was asked.
type fake struct {
	url string

	mu     sync.Mutex
	keys   []string // Idempotency-Key of each request
	bodies []string
	opened int // connections
}

// newFake answers request i, from 0, by answer(i).
func newFake(t *testing.T, answer func(i int, w http.ResponseWriter)) *fake {
	t.Helper()
	f := &fake{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // what came, if the client was cut off
		f.mu.Lock()
		i := len(f.keys)
		f.keys = append(f.keys, r.Header.Get("Idempotency-Key"))
		f.bodies = append(f.bodies, string(body))
		f.mu.Unlock()
		answer(i, w)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			f.mu.Lock()
			f.opened++
			f.mu.Unlock()
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	f.url = s.URL
	return f
}

// seen returns the keys of the requests so far, and the number of connections.
func (f *fake) seen() (keys []string, opened int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.keys), f.opened
}

// good is Peal's answer to a publication.
func good(w http.ResponseWriter) { fmt.Fprint(w, `{"cursor":"1z141z4-1"}`) }

// refuse is Peal's answer where it is Peal's hour.
func refuse(w http.ResponseWriter, status int, retryAfter string) {
	if retryAfter != "" {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.WriteHeader(status)
	fmt.Fprint(w, `{"error":{"code":"log_full","message":"subscribers cannot keep up"}}`)
}

// cut ends the connection without an answer.
func cut(w http.ResponseWriter) {
	if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
		c.Close()
	}
}

func TestPHPClientTriesOnceMoreWithTheSameKey(t *testing.T) {
	tool(t, "php")
	for name, first := range map[string]func(http.ResponseWriter){
		"429 without Retry-After": func(w http.ResponseWriter) { refuse(w, 429, "") },
		"429 at once":             func(w http.ResponseWriter) { refuse(w, 429, "0") },
		"503 in a second":         func(w http.ResponseWriter) { refuse(w, 503, "1") },
		"502 of a proxy":          func(w http.ResponseWriter) { w.WriteHeader(502); fmt.Fprint(w, "<html>") },
		"500 not stored":          func(w http.ResponseWriter) { refuse(w, 500, "") },
		"a connection that ends":  cut,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, func(i int, w http.ResponseWriter) {
				if i == 0 {
					first(w)
					return
				}
				good(w)
			})
			r := results(t, 1, f.url, patient, `show($peal->publish('a', 'the data'));`)[0]
			keys, _ := f.seen()
			if !r.OK || len(keys) != 2 || keys[0] == "" || keys[0] != keys[1] || r.IdempotencyKey != keys[0] {
				t.Errorf("%+v after requests with the keys %q", r, keys)
			}
			if f.bodies[0] != f.bodies[1] || f.bodies[0] != "the data" {
				t.Errorf("sent %q", f.bodies)
			}
		})
	}
}

func TestPHPClientTriesABatchOnceMoreWithTheSameKeys(t *testing.T) {
	tool(t, "php")
	f := newFake(t, func(i int, w http.ResponseWriter) {
		if i == 0 {
			refuse(w, 503, "0")
			return
		}
		fmt.Fprint(w, `{"results":[{"cursor":"1z141z4-1"},{"cursor":"1z141z4-2"}]}`)
	})
	r := results(t, 1, f.url, patient, `show($peal->publishBatch([['channel' => 'a', 'data' => '1'], ['channel' => 'a', 'data' => '2']]));`)[0]
	if !r.OK || len(f.bodies) != 2 || f.bodies[0] != f.bodies[1] {
		t.Fatalf("%+v after %q", r, f.bodies)
	}
	first, second := r.Results[0].IdempotencyKey, r.Results[1].IdempotencyKey
	if first == second || !strings.Contains(f.bodies[0], first) || !strings.Contains(f.bodies[0], second) {
		t.Errorf("keys %s and %s, sent %q", first, second, f.bodies[0])
	}
}

func TestPHPClientTriesNoMoreThanThat(t *testing.T) {
	tool(t, "php")
	for _, c := range []struct {
		name, options string
		answer        func(http.ResponseWriter)
		code          string
		status        int
		retryAfter    int // -1: none
		requests      int
	}{
		{"429 twice", patient, func(w http.ResponseWriter) { refuse(w, 429, "0") }, "log_full", 429, 0, 2},
		{"429 for longer than the page has", patient, func(w http.ResponseWriter) { refuse(w, 429, "60") }, "log_full", 429, 60, 1},
		{"429 for as long as the page has", patient, func(w http.ResponseWriter) { refuse(w, 429, "25") }, "log_full", 429, 25, 1},
		{"a refusal", patient, func(w http.ResponseWriter) { refuse(w, 403, "") }, "log_full", 403, -1, 1},
		{"an unknown page", patient, func(w http.ResponseWriter) { w.WriteHeader(404); fmt.Fprint(w, "404") }, "bad_answer", 404, -1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, func(_ int, w http.ResponseWriter) { c.answer(w) })
			r := results(t, 1, f.url, c.options, `show($peal->publish('a', 'x'));`)[0]
			after := -1
			if r.RetryAfter != nil {
				after = *r.RetryAfter
			}
			keys, _ := f.seen()
			if r.OK || r.Code != c.code || r.Status != c.status || after != c.retryAfter || len(keys) != c.requests {
				t.Errorf("%+v, retry after %d, %d requests; want %+v", r, after, len(keys), c)
			}
		})
	}
}

// Whatever listens there, the page goes on.
func TestPHPClientSurvivesWhatIsNotPeal(t *testing.T) {
	tool(t, "php")
	for _, answer := range []string{
		``, `<html>It works!</html>`, `null`, `7`, `"cursor"`, `[]`, `{}`, `{"status":"ok"}`,
		`{"error":"no"}`, `{"error":{}}`, `{"error":{"code":[],"message":{}}}`, `{"cursor":["a"]}`, `{"cursor":{"a":1},"results":7,"messages":7,"channels":7}`,
		`{"results":[7]}`, `{"results":[{}],"messages":[{"data_base64":[]}],"channels":{}}`, `{"messages":["a"]}`, strings.Repeat(" ", 9<<20) + `{"cursor":"a"}`,
	} {
		f := newFake(t, func(_ int, w http.ResponseWriter) { fmt.Fprint(w, answer) })
		for i, r := range results(t, 3, f.url, patient, `
			show($peal->publish('a', 'x'));
			show($peal->publishBatch([['channel' => 'a', 'data' => 'x']]));
			show($peal->history('a'));
		`) {
			if r.OK || r.Code != "bad_answer" || r.Message == "" {
				t.Errorf("call %d, answered %.60q: %+v", i, answer, r)
			}
		}
	}
}

func TestPHPClientKeepsItsConnection(t *testing.T) {
	tool(t, "php")
	f := newFake(t, func(_ int, w http.ResponseWriter) { good(w) })
	const five = `for ($i = 0; $i < 5; $i++) { show($peal->publish('a', 'x')); }`
	results(t, 5, f.url, patient, five)
	keys, opened := f.seen()
	if slices.Sort(keys); opened != 1 || len(slices.Compact(keys)) != 5 {
		t.Errorf("%d connections for 5 requests with the keys %q", opened, keys)
	}
	// A fork has one of its own: on a shared one it would read its parent's answers.
	results(t, 3, f.url, patient, `
		show($peal->publish('a', 'x'));
		if (pcntl_fork() === 0) {
			show($peal->publish('a', 'x'));
			exit;
		}
		pcntl_wait($status);
		show($peal->publish('a', 'x'));
	`)
	if _, now := f.seen(); now != opened+2 {
		t.Errorf("%d connections for a process and its fork, want 2", now-opened)
	}
}

// elapsed is what the calls of outage show: no time limit of ours is exact on
// a busy machine, but a client without one waits for minutes.
type elapsed struct {
	Code    string
	Seconds float64
}

const outage = `
	$before = hrtime(true);
	$result = $peal->publish('a', 'x');
	show(['code' => $result->code, 'seconds' => (hrtime(true) - $before) / 1e9]);
`

func TestPHPClientReturnsInTimeWithoutAServer(t *testing.T) {
	tool(t, "php")
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	gone := start(t)
	gone.stop()
	for _, c := range []struct{ name, url, code string }{
		{"stopped", gone.url, "unreachable"},
		{"silent", "http://" + silent.Addr().String(), "timeout"},
		{"unreachable", unreachable(t), "timeout"},
	} {
		got := client[elapsed](t, c.url, `{}`, outage)[0]
		if got.Code != c.code || got.Seconds > 5 {
			t.Errorf("%s: %s after %.2f s, want %s after at most 1 s and a bit", c.name, got.Code, got.Seconds, c.code)
		}
		t.Logf("%s: %s after %.2f s", c.name, got.Code, got.Seconds)
	}
}

func TestPHPClientThrowsAndLogsWhenAsked(t *testing.T) {
	tool(t, "php")
	got := client[string](t, "http://127.0.0.1:1", `{}`, `
		$logger = new class {
			public function warning($message, array $context = []) {
				show(strtok($message, ':') . ':' . strtok(':') . ':' . strtok(':') . ', ' . $context['call']);
				throw new Exception('the disk is full');
			}
		};
		$peal = new Peal\Client($argv[1], ['logger' => $logger]);
		show($peal->publish('a', 'x')->code);
		$peal = new Peal\Client($argv[1], ['logger' => $logger, 'throw' => true]);
		try {
			$peal->publish('a', 'x');
		} catch (Peal\PealException $e) {
			show(strtok($e->getMessage(), ':') . ', ' . $e->result->code);
		}
		try {
			$peal->publish('a', NAN);
		} catch (Peal\PealException $e) {
			show($e->getMessage());
		}
	`)
	want := []string{
		"Peal: publish failed: unreachable, publish", "unreachable",
		"Peal: publish failed: unreachable, publish", "unreachable, unreachable",
		"Peal: publish failed: bad_data, publish", "bad_data: Inf and NaN cannot be JSON encoded",
	}
	if !slices.Equal(got, want) {
		t.Errorf("said %q, want %q", got, want)
	}
}

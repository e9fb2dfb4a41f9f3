package endtoend_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// secretary is a server that notes requests, and answers each with what every call
// accepts.
type secretary struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string
}

func newSecretary(t *testing.T) *secretary {
	t.Helper()
	l := new(secretary)
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		l.mu.Lock()
		l.seen = append(l.seen, fmt.Sprintf("%s %s %s %s", r.Method, r.URL.RequestURI(), body, strings.Join(r.Header["Authorization"], ",")))
		l.mu.Unlock()
		fmt.Fprint(w, `{"cursor":"c","disconnected":1,"messages":[],"results":[]}`)
	}))
	t.Cleanup(l.Close)
	return l
}

func TestPHPClientSendsItsKey(t *testing.T) {
	tool(t, "php")
	l := newSecretary(t)
	t.Setenv("PEAL_KEY", "")
	got := client[string](t, l.URL, patient, `
		$say = function (Peal\Result $r) { show($r->ok ? 'ok' : "$r->code: $r->message"); };
		$mine = new Peal\Client($argv[1], ['timeout' => 25], 'peal_secret');
		$say($mine->publish('a', 'x', ['exclude' => 's1']));
		$say($mine->publishToUser('a&b', 'x', ['event' => 'e']));
		$say($mine->publishToUser(42, 'x', ['exclude' => 's1']));
		$say($mine->revoke('ann'));
		$say($mine->revoke(['ann', 7], ['j1'], 1700000000));
		$say($mine->revoke(null, 'j2'));
		$say($peal->history('a')); // without a key
		putenv('PEAL_KEY=peal_other');
		$say((new Peal\Client($argv[1]))->history('a'));
		$say((new Peal\Client($argv[1], ['headers' => ['Authorization: Basic x'], 'timeout' => 25], ''))->history('a'));

		// Mistakes, none of which shows the key.
		putenv('PEAL_KEY');
		$say($mine->revoke());
		$say($mine->revoke([], ''));
		$say($mine->publishToUser('', 'x'));
		$say($mine->publishToUser('ann', 'x', ['channel' => 'a']));
		$say((new Peal\Client($argv[1], [], "peal_se\r\ncret"))->history('a'));
		$say((new Peal\Client($argv[1], ['headers' => ['authorization:x']], 'peal_secret'))->history('a'));
		$say((new Peal\Client('http://127.0.0.1:1', [], 'peal_secret'))->history('a'));
		show(print_r($mine, true));
		try {
			(new Peal\Client('http://127.0.0.1:1', ['throw' => true], 'peal_secret'))->history('a');
		} catch (Peal\PealException $e) {
			show((string) $e);
		}
		try {
			new Peal\Client('http://127.0.0.1:1', 'no array', 'peal_secret');
		} catch (TypeError $e) {
			show((string) $e);
		}
	`)
	if want := slices.Repeat([]string{"ok"}, 9); len(got) != 19 || !slices.Equal(got[:9], want) {
		t.Fatalf("the calls return %q", got)
	}
	for i, said := range []string{"no_client: ", "no_client: ", "no_client: ", "bad_option: unknown option", "bad_option: the key", "bad_option: both a key", "unreachable: ", "Peal\\Client Object", "Stack trace:", "must be of type array"} {
		if line := got[9+i]; !strings.Contains(line, said) || strings.Contains(line, "cret") {
			t.Errorf("mistake %d: %q, want %q and no key", i, line, said)
		}
	}
	want := []string{
		"POST /publish?channel=a&exclude=s1 x Bearer peal_secret",
		"POST /publish?user=a%26b&event=e x Bearer peal_secret",
		"POST /publish?user=42&exclude=s1 x Bearer peal_secret",
		`POST /revoke {"sub":["ann"]} Bearer peal_secret`,
		`POST /revoke {"sub":["ann","7"],"jti":["j1"],"before":1700000000} Bearer peal_secret`,
		`POST /revoke {"jti":["j2"]} Bearer peal_secret`,
		"GET /channels/a/history?  ",
		"GET /channels/a/history?  Bearer peal_other",
		"GET /channels/a/history?  Basic x",
	}
	if !slices.Equal(l.seen, want) {
		t.Errorf("the server has seen\n%s\nwant\n%s", strings.Join(l.seen, "\n"), strings.Join(want, "\n"))
	}
}

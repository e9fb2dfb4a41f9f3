package endtoend_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"peal/loadtest/child"
)

// An operator who may only read watches a server that is killed and started again: the page asks for the key
// and offers no more than that allows, says that the server is away, and goes on by itself with the new process.
func TestDashboardOverARestartWithAKey(t *testing.T) {
	port, err := child.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	create := exec.Command(pealBinary, "key", "create", "--operator", "--name", "reader", "--allow", "read")
	lines := new(strings.Builder)
	create.Stderr = lines
	out, err := create.Output()
	if err != nil {
		t.Fatal(err)
	}
	key, file := strings.TrimSpace(string(out)), filepath.Join(dir, "operators.yaml")
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := []string{"--listen", "127.0.0.1:0", "--admin", child.Loopback(port), "--operator-key-file", file}
	p := launch(t, flags...)
	response, err := http.Get("http://" + p.addr + "/sse?" + url.Values{"channel": {"news"}, "client": {"ann"}}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	p.publish("news", "x")
	command := func(want int, args ...string) {
		t.Helper()
		cmd := exec.Command(pealBinary, append(args, "--admin", child.Loopback(port))...)
		cmd.Env = append(os.Environ(), "PEAL_OPERATOR_KEY="+key)
		said, _ := cmd.CombinedOutput() // its exit code is looked at
		if code := cmd.ProcessState.ExitCode(); code != want || strings.Contains(string(said), key) {
			t.Errorf("peal %q: exit code %d: %s", args, code, said)
		}
	}
	command(0, "status")
	command(1, "reload")

	c := browse(t, "http://ann:"+key+"@"+child.Loopback(port)+"/")
	c.until("document.getElementById('state').textContent === 'serving' && document.querySelectorAll('.tile').length >= 10")
	c.evaluate("location.hash = '#/connections/ann'; 0")
	c.until("document.querySelectorAll('tbody tr').length === 1")
	c.evaluate("[...document.querySelectorAll('a')].find(a => a.textContent === 'ann').click(); 0")
	c.until("document.body.innerText.includes('Connection of ann')")
	if got := c.evaluate("document.querySelectorAll('button.danger').length + ' ' + document.title + ' ' + document.activeElement.id"); !strings.HasPrefix(got, "0 Connection ") || !strings.HasSuffix(got, " main") {
		t.Errorf("a connection: %s", got)
	}
	c.evaluate("location.hash = '#/send'; 0")
	c.until("document.body.innerText.includes('Your key does not allow it.') && !document.querySelector('form')")
	if got := c.evaluate("import('/dashboard/ask.js').then(m => m.post('/publish', {channel: 'a', data: 'b'})).then(() => 'sent', (e) => e.code)"); got != "not_allowed" {
		t.Errorf("an order that the key does not allow: %s", got)
	}

	c.evaluate("location.hash = '#/'; 0")
	c.until("document.querySelectorAll('.tile').length >= 10")
	p.killed()
	c.until("document.getElementById('state').textContent.includes('connecting again') && document.getElementById('main').classList.contains('stale')")
	launch(t, flags...)
	c.until("document.getElementById('state').textContent === 'serving' && !document.getElementById('main').classList.contains('stale') && document.getElementById('problem').textContent.includes('serves in place of process')")
	c.until("[...document.querySelectorAll('.tile .value')].some(e => e.textContent.endsWith('/s'))")
	if got := c.evaluate("document.getElementById('main').innerText.match(/-[0-9]/g)?.join() ?? ''"); got != "" {
		t.Errorf("negative numbers: %s", got)
	}
	// Counters that fall, in whatever way, give no negative rate.
	const live = `{at_ms: %d, started_ms: 1, process: %d, counters: {deliveries: %d, gaps: %d}, latency: {counts: [%d, 3], bounds_us: [25]}, refusals: {}, gaps: {history: 2}, loops: [{turns: %d, busy_us: %d}]}`
	got := c.evaluate(fmt.Sprintf("import('/dashboard/live.js').then(m => { const a = "+live+", b = "+live+`, r = m.rates(a, b);
		return [m.same(a, b), m.same(a, {...a}), r.counters.deliveries, r.counters.gaps, r.p50, r.loops[0].busy, r.loops[0].turn].join(); })`, 1000, 7, 100, 0, 9, 50, 5000, 2000, 8, 10, 4, 5, 60, 4000))
	if got != "false,true,0,4,,0,0" {
		t.Errorf("rates over two processes: %s", got)
	}
	if list := c.errors("403 (Forbidden)", "ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE"); len(list) > 0 {
		t.Errorf("the page complains: %s", list)
	}
}

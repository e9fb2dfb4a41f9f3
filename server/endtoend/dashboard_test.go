package endtoend_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"peal/loadtest/child"
)

// hostileNames are what clients may name themselves, and channels. Characters that are not seen,
// or turn the direction of what follows, are allowed in an info only.
var hostileNames = []string{`<img src=x onerror="window.pwned=1">`, `"><script>window.pwned=1</script>`, `{{constructor.constructor('pwned=1')()}}`}

// The dashboard in a browser, light, dark and on a phone: it shows what clients have named themselves as
// text, keeps to its policy, publishes, and disconnects. PEAL_E2E_SCREENSHOTS names a folder for
// pictures.
func TestDashboardInABrowser(t *testing.T) {
	port, err := child.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	admin := "http://" + child.Loopback(port)
	p := launch(t, "--listen", "127.0.0.1:0", "--admin", child.Loopback(port))
	subscribe := func(channel, client, info string) {
		t.Helper()
		response, err := http.Get("http://" + p.addr + "/sse?" + url.Values{"channel": {channel, "all"}, "client": {client}, "info": {info}}.Encode())
		if err != nil || response.StatusCode != 200 {
			t.Fatalf("%q: %v %v", client, response, err)
		}
		t.Cleanup(func() { response.Body.Close() })
	}
	for i, name := range hostileNames {
		subscribe(name, name, name)
		subscribe(fmt.Sprint("room:", i), fmt.Sprint("user", i), "")
	}
	subscribe("room:ann", "ann", "right\u202eto left\x00"+strings.Repeat("long ", 150))

	c := browse(t, admin+"/")
	pictures := os.Getenv("PEAL_E2E_SCREENSHOTS")
	picture := func(name string) {
		if pictures != "" {
			c.screenshot(filepath.Join(pictures, name+".png"))
		}
	}
	c.until("document.getElementById('state').textContent === 'serving' && document.querySelectorAll('.tile').length >= 10")
	for i := range 50 {
		p.publish(fmt.Sprint("room:", i%3), "x")
		p.publish("all", strings.Repeat("x", 1000))
	}
	c.until("document.body.innerText.includes('Channels with most publications') && [...document.querySelectorAll('td')].some(td => td.innerText.endsWith('/s') && td.innerText !== '0/s')")
	width := func(wide int) {
		c.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": wide, "height": 800, "deviceScaleFactor": 1, "mobile": wide < 500})
	}
	for _, scheme := range []string{"light", "dark"} {
		width(1280)
		c.do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}})
		picture("overview-" + scheme)
	}
	width(360)
	if wide := c.evaluate("document.documentElement.scrollWidth"); wide != "360" {
		t.Errorf("the overview is %s pixels wide on a phone of 360", wide)
	}
	picture("overview-phone")

	// The list, one connection, one channel: names are text.
	c.evaluate("location.hash = '#/connections'; 0")
	c.until("document.querySelectorAll('tbody tr').length >= 7")
	picture("connections-phone")
	for _, name := range hostileNames {
		if got := c.evaluate(fmt.Sprintf("[...document.querySelectorAll('td bdi')].some(e => e.textContent.startsWith(%q.slice(0, 20)))", name)); got != "true" {
			t.Errorf("%q is not shown as text", name)
		}
	}
	c.evaluate("[...document.querySelectorAll('a')].find(a => a.textContent === 'ann').click(); 0")
	c.until("document.body.innerText.includes('Connection of ann') && document.body.innerText.includes('Round trip'.toLowerCase())")
	if got := c.evaluate("document.body.innerText.includes('right⟨U+202E⟩to left⟨U+0000⟩long') && !document.body.innerText.includes('\\u202e')"); got != "true" {
		t.Error("a character that turns the direction is not written as its number")
	}
	picture("session-phone")
	if wide := c.evaluate("document.documentElement.scrollWidth"); wide != "360" {
		t.Errorf("a connection is %s pixels wide on a phone of 360", wide)
	}
	width(1280)
	picture("session-dark")
	c.evaluate("location.hash = '#/channel/' + encodeURIComponent('room:1'); 0")
	c.until("document.body.innerText.includes('Subscribers on this node') && document.querySelector('form.tall')")
	picture("channel-dark")
	c.evaluate("document.querySelector('form.tall').requestSubmit(); 0")
	c.until("document.querySelector('form.tall [role=status]').textContent.startsWith('in the log at ')")
	c.evaluate("document.querySelector('form.tall [name=channel]').value = '$me'; document.querySelector('form.tall').requestSubmit(); 0")
	c.until("document.querySelector('form.tall [role=status]').textContent.startsWith('not sent: ')")

	// Disconnect ann, after a question.
	c.evaluate("location.hash = '#/connections/ann'; 0")
	c.until("document.querySelectorAll('tbody tr').length === 1")
	c.evaluate("[...document.querySelectorAll('a')].find(a => a.textContent === 'ann').click(); 0")
	c.until("document.querySelector('button.danger')")
	c.evaluate("document.querySelector('button.danger').click(); 0")
	c.until("document.querySelector('dialog[open]')")
	picture("dialog-dark")
	c.evaluate("document.querySelector('dialog button.danger').click(); 0")
	c.until("document.body.innerText.includes('This connection is not open.') && document.body.innerText.includes('the operator has ended this connection')")
	c.evaluate("location.hash = '#/ended'; 0")
	c.until("document.body.innerText.includes('the operator has ended this connection')")
	picture("ended-dark")
	c.evaluate("location.hash = '#/'; 0")
	c.until("document.querySelectorAll('.tile').length >= 10")

	if got := c.evaluate(`import('/dashboard/show.js').then(m => [m.plain('a\u202eb\0'), m.plain('x'.repeat(70000)).length, m.plain('\ud800')].join())`); got != "a⟨U+202E⟩b⟨U+0000⟩,121,⟨U+D800⟩" {
		t.Errorf("plain: %s", got)
	}
	if got := c.evaluate("import('/dashboard/live.js').then(m => [m.quantile([50, 40, 5], [25, 1000], 0.5), m.quantile([50, 40, 5], [25, 1000], 0.9), m.quantile([50, 40, 5], [25, 1000], 0.99), m.quantile([0], [], 0.5)].join())"); got != "25,1000,Infinity," {
		t.Errorf("quantile: %s", got)
	}
	if got := c.evaluate("window.pwned"); got != "<nil>" {
		t.Error("a name became a script")
	}
	if list := c.errors("400 (Bad Request)", "404 (Not Found)", "403 (Forbidden)"); len(list) > 0 {
		t.Errorf("the page complains: %s", list)
	}
	// Another page of the machine may not send orders: no token, and none to be read.
	got := c.evaluate(`fetch('/publish', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{"channel":"a","data":"b"}'}).then(r => r.status)`)
	if got != "403" {
		t.Errorf("a request without the token: %s", got)
	}
}

package endtoend_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A page of another origin, in a real browser: with cookies, with headers of its HTTP
// library's own, and with an image that would have somebody listed.
func TestAPageOfAnotherOriginInABrowser(t *testing.T) {
	p := startPresence(t, time.Hour)
	page := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(page.Close)
	browser := browse(t, page.URL)
	base := "http://" + p.addr

	browser.evaluate(`window.heard = [];
		window.source = new EventSource('` + base + `/sse?channel=page', {withCredentials: true});
		source.onopen = () => heard.push('open');
		source.onmessage = e => heard.push(e.data);
		source.onerror = () => heard.push('error ' + source.readyState); 0`)
	browser.until("heard.length > 0")
	browser.evaluate(`window.answers = [];
		fetch('` + base + `/publish?channel=page&event=', {method: 'POST', body: 'hello', credentials: 'include',
			headers: {'X-Requested-With': 'XMLHttpRequest', 'traceparent': '00-1-1-00', 'Cache-Control': 'no-cache', 'Idempotency-Key': 'k'}})
			.then(r => r.json()).then(a => answers.push('cursor' in a)).catch(e => answers.push(String(e))); 0`)
	browser.until("heard.length > 1 && answers.length > 0")
	if got := browser.evaluate("JSON.stringify([heard, answers])"); !strings.Contains(strings.ReplaceAll(got, `\`, ""), `[["open","hello"],[true]]`) {
		t.Errorf("the page heard and was answered %s", got)
	}

	p.publishTo("/publish?channel=named&event=%20caf%C3%A9%20", "x", "Content-Type: text/plain")
	browser.evaluate(`window.event = undefined;
		fetch('` + base + `/poll?channel=named&cursor=earliest&format=raw').then(r => { window.event = decodeURIComponent(r.headers.get('Peal-Event')) }); 0`)
	browser.until("event !== undefined")
	if got := browser.evaluate("event"); got != " café " {
		t.Errorf("the event of a raw poll is %q", got)
	}

	browser.evaluate(`window.image = undefined; window.i = new Image();
		i.onload = i.onerror = () => { window.image = 'answered' };
		i.src = '` + base + `/poll?channel=room&client=victim&timeout=1'; 0`)
	browser.until("image !== undefined")
	if a := p.do("GET", "/channels/room/presence", ""); !strings.Contains(string(a.body), `"count":0`) {
		t.Errorf("an image had somebody listed: %s", a.body)
	}
}

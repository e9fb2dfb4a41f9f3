package endtoend_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestPublishTakesWhatClientsSend(t *testing.T) {
	p := start(t)
	const form = "Content-Type: application/x-www-form-urlencoded"
	const js = "Content-Type: application/json"
	var multi bytes.Buffer
	w := multipart.NewWriter(&multi)
	for _, field := range [][2]string{{"channel[]", "m1"}, {"channel[]", "m2"}, {"data", "multi\r\npart"}, {"event", "e"}} {
		if err := w.WriteField(field[0], field[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path, body, contentType string
		channels                      string
		data, event                   string
	}{
		{"curl -d", "/publish", "hi", form, "main", "hi", ""},
		{"curl -d with a channel", "/publish?channel=q", "data=is not a field here", form, "q", "data=is not a field here", ""},
		{"plain", "/publish?channel=p&event=e", "text", "Content-Type: text/plain", "p", "text", "e"},
		{"no type", "/publish?channel=n", "text", "X-Nothing: here", "n", "text", ""},
		{"form", "/publish", "channel=f&data=a%26b+c&event=e", form, "f", "a&b c", "e"},
		{"http_build_query", "/publish", "channel%5B0%5D=g1&channel%5B1%5D=g2&data=x", form, "g1 g2", "x", ""},
		{"channel[]", "/publish", "channel[]=h1&channel[]=h2&data=x", form, "h1 h2", "x", ""},
		{"channel[] in the query", "/publish?channel[]=i1&channel[]=i2", "x", "Content-Type: text/plain", "i1 i2", "x", ""},
		{"multipart", "/publish", multi.String(), "Content-Type: " + w.FormDataContentType(), "m1 m2", "multi\r\npart", "e"},
		{"JSON", "/publish", `{"channel":"j","data":"x","event":"e"}`, js, "j", "x", "e"},
		{"JSON, channels", "/publish", `{"channel":["k1","k2"],"data":"x"}`, js, "k1 k2", "x", ""},
		{"JSON data", "/publish", `{"channel":"l","data":{"a": [1, 2]}}`, js, "l", `{"a":[1,2]}`, ""},
		{"JSON without data", "/publish?channel=prices", `{"price": 12}`, js, "prices", `{"price": 12}`, ""},
		{"JSON as text", "/publish", `{"price": 12}`, "Content-Type: text/plain", "main", `{"price": 12}`, ""},
		{"JSON as the data", "/publish?channel=o", `{"channel":"j","data":"x"}`, js, "o", `{"channel":"j","data":"x"}`, ""},
		{"names with reserved bytes", "/publish?channel=" + url.QueryEscape("private-App.User.1/ü?&=#"), "x", "Content-Type: text/plain", "private-App.User.1/ü?&=#", "x", ""},
		{"empty", "/publish?channel=empty", "", "Content-Type: text/plain", "empty", "", ""},
	} {
		cursor := p.publishTo(c.path, c.body, c.contentType)
		for channel := range strings.FieldsSeq(c.channels) {
			got := p.poll("last=1&channel=" + url.QueryEscape(channel))
			if len(got.Messages) != 1 {
				t.Errorf("%s: nothing on %s", c.name, channel)
				continue
			}
			if m := got.Messages[0]; m.text() != c.data || m.Event != c.event || m.Channel != channel {
				t.Errorf("%s: %s has %q event %q, want %q event %q", c.name, channel, m.text(), m.Event, c.data, c.event)
			}
			if strings.HasSuffix(c.channels, channel) && got.Messages[0].Cursor != cursor {
				t.Errorf("%s: answered %s, the last message is %s", c.name, cursor, got.Messages[0].Cursor)
			}
		}
	}
}

func TestPublishBatch(t *testing.T) {
	p := start(t)
	type item = map[string]any
	body, err := json.Marshal(item{"messages": []item{
		{"channel": "a", "data": "one"},
		{"channel": []string{"a", "b"}, "data": "two", "event": "e"},
		{"channel": "$reserved", "data": "no"},
		{"data": "for main"},
		{"channel": "a", "data": "three", "event": "gap"},
		{"channel": "a"},
		{"channel": "b", "data_base64": "/wA=", "idempotency_key": "k"},
		{"channel": "a", "data": "last"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	a := p.do("POST", "/publish/batch", string(body), "Content-Type: application/json")
	if a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	results := decode[struct {
		Results []struct {
			Cursor string
			Error  struct{ Code string }
		}
	}](t, a.body).Results
	got := []string{}
	for _, r := range results {
		if (r.Cursor == "") == (r.Error.Code == "") {
			t.Errorf("a result needs either a cursor or an error: %+v", r)
		}
		got = append(got, r.Error.Code)
	}
	if want := []string{"", "", "reserved_channel", "", "bad_event", "no_data", "", ""}; !slices.Equal(got, want) {
		t.Fatalf("errors %q, want %q", got, want)
	}
	all := p.poll("channel=a&channel=b&channel=main&cursor=earliest")
	if want := []string{"one", "two", "two", "for main", "", "last"}; !slices.Equal(all.texts(), want) {
		t.Errorf("messages %q, want %q", all.texts(), want)
	}
	if rest := p.poll("channel=a&cursor=" + results[1].Cursor); !slices.Equal(rest.texts(), []string{"last"}) {
		t.Errorf("after the second result comes %q", rest.texts())
	}
	for _, bad := range []string{``, `[]`, `{}`, `{"messages":1}`, `{"messages":[`, "\xff"} {
		if a := p.do("POST", "/publish/batch", bad, "Content-Type: application/json"); a.status != 400 || decode[problem](t, a.body).Error.Message == "" {
			t.Errorf("batch %q: %d %s, want 400 with a reason", bad, a.status, a.body)
		}
	}
}

func TestPublishAcceptsAnIdempotencyKey(t *testing.T) {
	p := start(t)
	p.publishTo("/publish?channel=a", "one", "Idempotency-Key: order-17", "Content-Type: text/plain")
	if got := p.poll("channel=a&last=1"); !slices.Equal(got.texts(), []string{"one"}) {
		t.Errorf("got %q", got.texts())
	}
	if a := p.do("POST", "/publish?channel=a", "x", "Idempotency-Key: "+strings.Repeat("k", 201)); a.status != 400 {
		t.Errorf("a key of 201 bytes: %d %s", a.status, a.body)
	}
}

func TestPublishRefusals(t *testing.T) {
	p := start(t)
	for _, c := range []struct {
		path, body string
		status     int
		code       string
	}{
		{"/publish?channel=", "x", 400, "bad_channel"},
		{"/publish?channel=" + strings.Repeat("n", 201), "x", 400, "bad_channel"},
		{"/publish?channel=a%0Ab", "x", 400, "bad_channel"},
		{"/publish?channel=%FF", "x", 400, "bad_channel"},
		{"/publish?channel=$sys", "x", 403, "reserved_channel"},
		{"/publish?channel=a&event=open", "x", 400, "bad_event"},
		{"/publish?channel=a&event=error", "x", 400, "bad_event"},
		{"/publish?channel=a&event=gap", "x", 400, "bad_event"},
		{"/publish?channel=a&event=peal.x", "x", 400, "bad_event"},
		{"/publish?channel=a&event=a%0Adata:%20b", "x", 400, "bad_event"},
		{"/publish?channel=a", strings.Repeat("x", 64<<10+1), 413, "body_too_large"},
	} {
		a := p.do("POST", c.path, c.body, "Content-Type: text/plain")
		said := decode[problem](t, a.body).Error
		if a.status != c.status || said.Code != c.code || said.Message == "" {
			t.Errorf("POST %.60s: %d %s, want %d %s", c.path, a.status, a.body, c.status, c.code)
		}
	}
	// The largest message arrives.
	large := strings.Repeat("x", 64<<10)
	p.publish("a", large)
	if got := p.poll("channel=a&last=1"); got.texts()[0] != large {
		t.Error("a message of 64 KiB does not arrive whole")
	}
}

func TestChannelsAndHistory(t *testing.T) {
	p := start(t)
	for i := range 5 {
		p.publish("h", fmt.Sprint(i))
	}
	type history struct {
		polled
		More bool
	}
	page := decode[history](t, p.do("GET", "/channels/h/history?cursor=earliest&limit=2", "").body)
	if !slices.Equal(page.texts(), []string{"0", "1"}) || !page.More {
		t.Errorf("first page %q more %v", page.texts(), page.More)
	}
	page = decode[history](t, p.do("GET", "/channels/h/history?limit=10&cursor="+page.Cursor, "").body)
	if !slices.Equal(page.texts(), []string{"2", "3", "4"}) || page.More {
		t.Errorf("second page %q more %v", page.texts(), page.More)
	}
	p.publish("h", "next")
	if got := p.events("channel=h&cursor=" + page.Cursor).next(); got.data != "next" {
		t.Errorf("the history's cursor leads a subscription to %+v", got)
	}
	list := decode[struct{ Channels []struct{ Channel string } }](t, p.do("GET", "/channels?prefix=h", "").body)
	if len(list.Channels) != 1 || list.Channels[0].Channel != "h" {
		t.Errorf("channels: %+v", list)
	}
}

package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/server"
	"peal/server/inspect"
)

// operator is a server with its admin listener.
type operator struct {
	t     *testing.T
	url   string // of the server
	admin string
}

func operated(t *testing.T, c server.Config) *operator {
	t.Helper()
	c.Admin = "127.0.0.1:0"
	s, url := run(t, c)
	return &operator{t, url, "http://" + s.AdminAddrs()[0].String()}
}

// get reads JSON of the admin listener into v.
func (o *operator) get(status int, path string, v any) {
	o.t.Helper()
	response, err := client.Get(o.admin + path)
	if err != nil {
		o.t.Fatal(err)
	}
	o.read(response, status, path, v)
}

func (o *operator) post(status int, path, body string, v any) {
	o.t.Helper()
	response, err := client.Post(o.admin+path, "application/json", strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	o.read(response, status, path, v)
}

func (o *operator) read(response *http.Response, status int, path string, v any) {
	o.t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != status {
		o.t.Fatalf("%s: %d, want %d, %v: %s", path, response.StatusCode, status, err, body)
	}
	if err := json.Unmarshal(body, v); err != nil {
		o.t.Fatalf("%s: %v: %s", path, err, body)
	}
}

// stream begins an event stream, reads its first line, and returns it.
func (o *operator) stream(query string) (lines *bufio.Reader, body io.Closer) {
	o.t.Helper()
	response, err := client.Get(o.url + "/sse?" + query)
	if err != nil || response.StatusCode != 200 {
		o.t.Fatalf("%s: %v %v", query, response, err)
	}
	o.t.Cleanup(func() { response.Body.Close() })
	r := bufio.NewReader(response.Body)
	if _, err := r.ReadString('\n'); err != nil {
		o.t.Fatal(err)
	}
	return r, response.Body
}

// until repeats ask until it is true.
func until(t *testing.T, what string, ask func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ask(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in a minute: %s", what)
		}
	}
}

func TestConnectionsAreInspected(t *testing.T) {
	o := operated(t, server.Config{})
	if _, err := client.Post(o.url+"/publish?channel=news", "text/plain", strings.NewReader("one")); err != nil {
		t.Fatal(err)
	}
	o.stream("channel=news&channel=other&client=ann&info=hello&last=1")
	for i := range 5 {
		o.stream(fmt.Sprint("channel=news&client=user", i))
	}
	var page inspect.Page
	o.get(200, "/connections?user=ann", &page)
	if len(page.Connections) != 1 || page.Next != "" {
		t.Fatalf("%+v", page)
	}
	c := page.Connections[0]
	if c.Transport != "sse" || c.State != "open" || c.Dialect != "sse-raw" || c.Client != "ann" || c.Kind != "anonymous" || c.Width != 2 || c.Channels[0] != "news" || !strings.HasPrefix(c.Address, "127.0.0.1:") {
		t.Errorf("%+v", c)
	}
	if !c.CaughtUp || c.Sequence != 1 || c.Behind != 0 || c.Cursor == "" || c.Age == nil || *c.Age > 60 || c.Traffic == nil || c.Traffic.Sent == 0 {
		t.Errorf("%+v, tcp %+v", c, c.Traffic)
	}
	for _, name := range []string{c.Session, c.Number} {
		var one inspect.Connection
		o.get(200, "/connections/"+name, &one)
		if one.Session != c.Session || one.Client != "ann" || one.Width != 2 {
			t.Errorf("%s: %+v", name, one)
		}
	}

	seen, after := map[string]bool{}, ""
	for pages := 0; ; pages++ {
		var page inspect.Page
		o.get(200, "/connections?channel=news&limit=2&after="+after, &page)
		for _, c := range page.Connections {
			if seen[c.Session] {
				t.Errorf("%s is on two pages", c.Session)
			}
			seen[c.Session] = true
		}
		if after = page.Next; after == "" {
			break
		}
		if len(page.Connections) != 2 || pages > 10 {
			t.Fatalf("page %d: %+v", pages, page)
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d connections on all pages", len(seen))
	}
	for query, want := range map[string]int{"channel=other": 1, "channel=none": 0, "address=127.0.0.0/8": 6, "address=192.0.2.1": 0, "address=unix": 0, "behind=1": 0, "user=user3&channel=news": 1, "user=nobody": 0} {
		var page inspect.Page
		o.get(200, "/connections?"+query, &page)
		streams := 0
		for _, c := range page.Connections {
			if c.Transport == "sse" {
				streams++
			}
		}
		if streams != want {
			t.Errorf("%s: %d, want %d", query, streams, want)
		}
	}
	for path, code := range map[string]string{
		"/connections?chanel=news": "unknown_parameter", "/connections?limit=0": "bad_limit", "/connections?limit=1001": "bad_limit", "/connections?after=x": "bad_after",
		"/connections?address=10.0.0.1:80": "bad_address", "/connections?behind=maybe": "bad_behind", "/connections?user=a&user=b": "bad_parameter", "/connections?user=%ff": "bad_parameter",
		"/connections/short": "bad_session", "/connections/0": "bad_session", "/channel": "bad_channel",
	} {
		var failure struct {
			Error struct{ Code, Message string }
		}
		o.get(400, path, &failure)
		if failure.Error.Code != code || failure.Error.Message == "" {
			t.Errorf("%s: %+v, want %s", path, failure, code)
		}
	}
	var gone inspect.Gone
	o.get(404, "/connections/123456789", &gone)
	if gone.Open || gone.End != nil {
		t.Errorf("%+v", gone)
	}
}

func TestTheOperatorActs(t *testing.T) {
	o := operated(t, server.Config{})
	lines, _ := o.stream("channel=news&client=ann&format=raw")
	other, _ := o.stream("channel=news&format=raw")
	var sent inspect.Sent
	o.post(200, "/publish", `{"channel":"news","data":"to all"}`, &sent)
	if sent.Cursor == "" || sent.Subscribers != 2 {
		t.Errorf("%+v", sent)
	}
	for _, r := range []*bufio.Reader{lines, other} {
		for line := ""; line != "data: to all\n"; {
			var err error
			if line, err = r.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
	}
	var channel inspect.Channel
	o.get(200, "/channel?name=news", &channel)
	if channel.Subscribers != 2 || channel.Messages != 1 || channel.Newest != sent.Cursor {
		t.Errorf("%+v", channel)
	}

	var page inspect.Page
	o.get(200, "/connections?user=ann", &page)
	session := page.Connections[0].Session
	var done map[string]int
	o.post(200, "/connections/"+session+"/disconnect", "", &done)
	if _, err := io.ReadAll(lines); err != nil {
		t.Errorf("the end of the stream: %v", err)
	}
	var gone inspect.Gone
	until(t, "its end is remembered", func() bool {
		var raw json.RawMessage
		response, err := client.Get(o.admin + "/connections/" + session)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode == 200 { // it says good-bye
			return false
		}
		if err := json.NewDecoder(response.Body).Decode(&raw); err != nil {
			t.Fatal(err)
		}
		return json.Unmarshal(raw, &gone) == nil && gone.End != nil
	})
	if gone.End.Client != "ann" || gone.End.Code != 4410 || !strings.Contains(gone.End.Reason, "the operator has ended this connection") {
		t.Errorf("%+v", gone.End)
	}
	var failure struct {
		Error struct{ Code, Message string }
	}
	o.post(404, "/connections/"+session+"/disconnect", "", &failure)

	o.stream("channel=news&client=ann")
	o.get(200, "/connections?user=ann", &page)
	var back inspect.Connection
	o.get(200, "/connections/"+page.Connections[0].Session, &back)
	if back.End == nil || back.End.Session != session || back.Session == session {
		t.Errorf("the last end of the same client: %+v of %s, want of %s", back.End, back.Session, session)
	}
	var ordered inspect.Disconnected
	o.post(200, "/disconnect", `{"client":"ann","for_s":60}`, &ordered)
	if ordered.Disconnected != 1 || !ordered.KeptAway || !ordered.Stored {
		t.Errorf("%+v", ordered)
	}
	var ends inspect.Ends
	o.get(200, "/connections/ended?user=ann", &ends)
	if len(ends.Ends) != 2 {
		t.Errorf("%+v", ends)
	}
	for body, code := range map[string]string{`{"channel":"","data":"x"}`: "bad_channel", `{"channel":"$me","data":"x"}`: "", `{"chanel":"a"}`: "bad_json", `{"channel":"a","data":"x"} x`: "bad_json", `[`: "bad_json"} {
		response, err := client.Post(o.admin+"/publish", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = json.NewDecoder(response.Body).Decode(&failure)
		response.Body.Close()
		if response.StatusCode < 400 || response.StatusCode > 499 || code != "" && failure.Error.Code != code {
			t.Errorf("%s: %d %+v", body, response.StatusCode, failure)
		}
	}
	o.post(400, "/disconnect", `{"client":"ann","for_s":100000}`, &failure)
	o.post(400, "/disconnect", `{}`, &failure)
}

// What clients name themselves is text, whatever it has; what is no text is refused.
func TestHostileNamesAreShownAsText(t *testing.T) {
	o := operated(t, server.Config{})
	names := []string{`<img src=x onerror=alert(1)>`, `"};alert(1)//`, "</script><script>alert(1)</script>", strings.Repeat("ü", 100)}
	for _, name := range names {
		for _, channel := range []string{name} {
			response, err := client.Get(o.url + "/sse?" + url.Values{"channel": {channel}, "client": {name}, "info": {name + "\u202e\x00"}}.Encode())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { response.Body.Close() })
			if response.StatusCode != 200 {
				t.Fatalf("%q: %d", name, response.StatusCode)
			}
			if _, err := bufio.NewReader(response.Body).ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			var page inspect.Page
			o.get(200, "/connections?"+url.Values{"user": {name}, "channel": {channel}}.Encode(), &page)
			if len(page.Connections) != 1 || page.Connections[0].Client != name || page.Connections[0].Channels[0] != channel || page.Connections[0].Info != name+"\u202e\x00" {
				t.Errorf("%q: %+v", name, page)
			}
		}
	}
	for _, name := range []string{"a\x00b", "\xff\xfe", "a\nb", "\u202egnp.exe", strings.Repeat("x", 64<<10)} {
		response, err := client.Get(o.url + "/sse?" + url.Values{"channel": {"a"}, "client": {name}}.Encode())
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode < 400 {
			t.Errorf("%.20q is accepted as a name", name)
		}
	}
	response, err := client.Get(o.admin + "/connections?user=" + url.QueryEscape("<img>"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if strings.Contains(string(body), "<") || response.Header.Get("Content-Type") != "application/json" || response.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v %s", response.Header, body)
	}
}

func TestTopIsCountedWhileSomebodyLooks(t *testing.T) {
	o := operated(t, server.Config{})
	o.stream("channel=big&client=ann")
	o.stream("channel=big&channel=small")
	var live inspect.Live
	o.get(200, "/live?top=5", &live) // counting begins
	if live.State != "serving" || live.Connections.SSE != 2 || live.Node.Name == "" || live.Log.Engine != "memory" || live.Top == nil || len(live.Loops) == 0 || live.Memory.Resident == 0 || live.Memory.Heap == 0 {
		t.Errorf("%+v", live)
	}
	if top := live.Top.Subscribed; len(top) != 2 || top[0].Channel != "big" || top[0].Subscribers != 2 || top[1].Channel != "small" {
		t.Errorf("%+v", top)
	}
	if live.Top.Seconds != 0 || len(live.Top.Busiest) != 0 {
		t.Errorf("counted before anybody looked: %+v", live.Top)
	}
	c, err := net.Dial("tcp", strings.TrimPrefix(o.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for i := range 7 {
		channel := "big"
		if i == 6 {
			channel = "small"
		}
		fmt.Fprintf(c, "POST /publish?channel=%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello", channel)
		response, err := http.ReadResponse(r, nil)
		if err != nil || response.StatusCode != 200 {
			t.Fatalf("%v %v", response, err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
	}
	until(t, "the next Top is there", func() bool {
		o.get(200, "/live?top=1", &live)
		return live.Top.Seconds > 0
	})
	top := live.Top
	if len(top.Busiest) != 1 || top.Busiest[0] != (inspect.ChannelRate{Channel: "big", Publications: 6, Bytes: 30}) || len(top.Talkers) != 1 || top.Talkers[0].Messages != 7 || top.Talkers[0].Address != c.LocalAddr().String() {
		t.Errorf("%+v", top)
	}
	if live.Counters.Publications != 7 || live.Counters.Deliveries != 13 {
		t.Errorf("%+v", live.Counters)
	}
}

func TestTalkersAreSummedByClient(t *testing.T) {
	var all []loop.Talker
	for i := range 100 {
		all = append(all, loop.Talker{Session: uint64(i), Name: fmt.Sprint("user", i%60), Messages: 1, Bytes: uint64(i)}, loop.Talker{Messages: 1, Bytes: 1 << 20})
	}
	users := server.UsersOf(all)
	if len(users) != 50 || users[0] != (inspect.UserSum{Client: "user39", Connections: 2, Messages: 2, Bytes: 39 + 99}) || users[49].Bytes >= users[0].Bytes {
		t.Errorf("%d: %+v", len(users), users)
	}
	if users := server.UsersOf(nil); users == nil || len(users) != 0 {
		t.Errorf("%+v", users)
	}
}

package endtoend_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"peal/server"
)

// phpPage is docs/php.md, unpacked, with a server for what is new in it.
type phpPage struct {
	t    *testing.T
	dir  string
	peal *peal
}

// phpPrograms are the files of docs/php.md; each has a test below.
var phpPrograms = []string{"publish.php", "local.php", "old/socket.php", "chat.php", "old/poll.php", "state.php", "worker.php", "old/stream.php", "logout.php", "token.php", "paid.php"}

func newPHPPage(t *testing.T) *phpPage {
	t.Helper()
	tool(t, "php")
	names, dir := unpack(t, "docs/php.md")
	if !slices.Equal(names, phpPrograms) {
		t.Fatalf("docs/php.md has the programs %q, tested are %q", names, phpPrograms)
	}
	if err := os.Symlink(patientClient(t), dir+"/peal.php"); err != nil {
		t.Fatal(err)
	}
	socket := dir + "/peal.sock"
	d := &phpPage{t: t, dir: dir, peal: startWith(t, func(c *server.Config) { c.Listen = append(c.Listen, "unix:"+socket) })}
	patch(t, dir+"/local.php", "/run/peal/peal.sock", socket)
	for _, name := range names {
		if text := logged(t, dir+"/"+name); strings.Contains(text, "http://127.0.0.1:8080") {
			patch(t, dir+"/"+name, "http://127.0.0.1:8080", d.peal.url)
		}
	}
	return d
}

// background starts php with these arguments; it is ended with the test.
func (d *phpPage) background(args ...string) *bufio.Reader { return d.run("php", args...) }

func (d *phpPage) run(program string, args ...string) *bufio.Reader {
	d.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = d.dir
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed: nothing to learn from it
	})
	return bufio.NewReader(out)
}

// serve has PHP's own web server serve a folder of the page.
func (d *phpPage) serve(dir string) *peal {
	d.t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	d.background("-q", "-S", addr, "-t", dir)
	p := newPeal(d.t, addr)
	p.await("PHP's web server answers", func() bool {
		_, err := p.try("GET", "/nothing.txt", "")
		return err == nil
	})
	return p
}

// hear reads lines until one is text.
func hear(t *testing.T, r *bufio.Reader, text string) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("waited for %q: %v", text, err)
		}
		if strings.TrimRight(line, "\r\n") == text {
			return
		}
	}
}

func TestPHPDocumentPublishes(t *testing.T) {
	d := newPHPPage(t)
	_, wait := phpFile(t, d.dir+"/publish.php")
	wait()
	news := d.peal.poll("channel=news&cursor=earliest")
	if want := []string{"the first message", `{"home":1,"away":0}`}; !slices.Equal(news.texts(), want) || news.Messages[1].Event != "goal" {
		t.Errorf("published %q, want %q", news.texts(), want)
	}
	if sport := d.peal.poll("channel=sport&cursor=earliest").texts(); !slices.Equal(sport, news.texts()[1:]) {
		t.Errorf("sport has %q", sport)
	}
}

func TestPHPDocumentPublishesOnAUnixSocket(t *testing.T) {
	d := newPHPPage(t)
	out, wait := phpFile(t, d.dir+"/local.php")
	hear(t, out, "published")
	wait()
	if got, want := d.peal.poll("channel=news&cursor=earliest").texts(), []string{"over the socket"}; !slices.Equal(got, want) {
		t.Errorf("published %q, want %q", got, want)
	}
}

func TestPHPDocumentOldSocketLoop(t *testing.T) {
	d := newPHPPage(t)
	addr, err := d.background("old/socket.php", "0").ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var visitors [2]net.Conn
	for i := range visitors {
		if visitors[i], err = net.DialTimeout("tcp", strings.TrimSpace(addr), patience); err != nil {
			t.Fatal(err)
		}
		defer visitors[i].Close()
		// Whom the loop hears, it has accepted.
		fmt.Fprintf(visitors[i], "visitor %d\n", i)
		hear(t, bufio.NewReader(visitors[i]), fmt.Sprint("visitor ", i))
	}
	fmt.Fprint(visitors[1], "hello\n")
	hear(t, bufio.NewReader(visitors[0]), "hello")
}

func TestPHPDocumentChat(t *testing.T) {
	d := newPHPPage(t)
	pages := d.serve(".")
	chat := d.peal.dialSocket("/ws?channel=chat", nil)
	post := func(text string) int {
		return pages.do("POST", "/chat.php", url.Values{"text": {text}}.Encode(), "Content-Type: application/x-www-form-urlencoded").status
	}
	if got := post("hi"); got != http.StatusNoContent {
		t.Errorf("status %d", got)
	}
	if got := chat.next().data; got != `{"from":"anna","text":"hi"}` {
		t.Errorf("the chat has %s", got)
	}
	if got := post(" "); got != http.StatusBadRequest {
		t.Errorf("nothing said: status %d", got)
	}
	d.peal.stop()
	if got := post("hi"); got != http.StatusServiceUnavailable {
		t.Errorf("without a server: status %d", got)
	}
}

func TestPHPDocumentOldPolling(t *testing.T) {
	d := newPHPPage(t)
	pages := d.serve("old")
	d.say("one")
	first := pages.do("GET", "/poll.php", "")
	if got := string(first.body); got != `{"seen":1,"messages":["one"]}` {
		t.Errorf("the first poll has %s", got)
	}
	second := make(chan string, 1)
	go func() { // ends with the poll
		a, err := pages.try("GET", "/poll.php?seen=1", "")
		second <- fmt.Sprint(string(a.body), err)
	}()
	d.say("two")
	if got := <-second; got != `{"seen":2,"messages":["two"]}<nil>` {
		t.Errorf("the second poll has %s", got)
	}
}

func TestPHPDocumentOldStream(t *testing.T) {
	d := newPHPPage(t)
	pages := d.serve("old")
	response, err := pages.client.Get(pages.url + "/stream.php")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/event-stream") {
		t.Errorf("Content-Type %q", got)
	}
	stream := bufio.NewReader(response.Body)
	hear(t, stream, ": still here")
	d.say("one")
	hear(t, stream, "data: one")
}

// say appends a message where the old programs look for them.
func (d *phpPage) say(text string) {
	d.t.Helper()
	f, err := os.OpenFile(d.dir+"/old/messages.txt", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintln(f, text); err != nil {
		d.t.Fatal(err)
	}
}

// The page and its first poll have no gap between them.
func TestPHPDocumentState(t *testing.T) {
	d := newPHPPage(t)
	pages := d.serve(".")
	d.peal.publish("news", "one")
	state := decode[polled](t, pages.do("GET", "/state.php", "").body)
	if !slices.Equal(state.texts(), []string{"one"}) {
		t.Errorf("the state is %q", state.texts())
	}
	d.peal.publish("news", "two")
	if got := d.peal.poll("channel=news&cursor=" + state.Cursor).texts(); !slices.Equal(got, []string{"two"}) {
		t.Errorf("the poll after it has %q", got)
	}
}

func TestPHPDocumentWorker(t *testing.T) {
	d := newPHPPage(t)
	d.peal.publish("jobs", "waits already")
	out, wait := phpFile(t, d.dir+"/worker.php")
	hear(t, out, "waits already")
	d.peal.publish("jobs", "another")
	hear(t, out, "another")
	d.peal.publish("jobs", "quit")
	wait()

	// It goes on where it was, and through an outage.
	d.peal.publish("jobs", "while it was away")
	proxy := proxyTo(t, d.peal.addr)
	patch(t, d.dir+"/worker.php", d.peal.url, proxy.url)
	proxy.set(faults{down: true})
	out = d.background("worker.php") // which complains on stderr
	proxy.awaitRefused(2)
	proxy.set(faults{})
	hear(t, out, "while it was away")
	proxy.set(faults{down: true})
	d.peal.publish("jobs", "during the outage")
	proxy.awaitRefused(2)
	proxy.set(faults{})
	if line, err := out.ReadString('\n'); err != nil || line != "during the outage\n" {
		t.Errorf("after the outage: %q, %v", line, err)
	}
	d.peal.publish("jobs", "quit")
	hear(t, out, "quit")
}

// The loop of the page survives outages of both servers, and loads the state
// again after a gap.
func TestPHPDocumentPollLoop(t *testing.T) {
	node := tool(t, "node")
	d := newPHPPage(t)
	_, rest, _ := strings.Cut(logged(t, "../../docs/php.md"), "```js\nconst pause")
	loop, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("docs/php.md has no loop")
	}
	proxy := proxyTo(t, d.peal.addr)
	pages := d.serve(".")
	loop = strings.ReplaceAll(strings.ReplaceAll("const pause"+loop, "'state.php'", "'"+pages.url+"/state.php'"), "http://localhost:8080", proxy.url)
	script := "const show = m => console.log('show ' + m), reset = list => console.log('reset ' + list.map(m => m.data));\n" + loop
	path := d.dir + "/loop.mjs"
	if err := os.WriteFile(path, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	d.peal.publish("news", "one")
	out := d.run(node, path)
	hear(t, out, "reset one")
	d.peal.publish("news", "two")
	hear(t, out, "show two")
	proxy.set(faults{down: true})
	d.peal.publish("news", "three")
	proxy.awaitRefused(2)
	proxy.set(faults{})
	if line, err := out.ReadString('\n'); err != nil || line != "show three\n" {
		t.Errorf("after the outage: %q, %v", line, err)
	}
	// A cursor that means nothing: a gap, and the state anew.
	d.peal.stop()
	other := start(t)
	other.publish("news", "four")
	patch(t, d.dir+"/state.php", d.peal.url, other.url)
	proxy.forwardTo(other.addr)
	hear(t, out, "reset four")
	other.publish("news", "five")
	hear(t, out, "show five")
}

func TestPHPDocumentLogout(t *testing.T) {
	d := newPHPPage(t)
	anna, bob := d.peal.dialSocket("/ws?channel=chat&client=anna", nil), d.peal.dialSocket("/ws?channel=chat&client=bob", nil)
	out, wait := phpFile(t, d.dir+"/logout.php")
	hear(t, out, "1 connections ended")
	wait()
	if code := anna.closed(); code != 4410 {
		t.Errorf("closed with %d", code)
	}
	d.peal.publish("chat", "who is left")
	if got := bob.next().data; got != "who is left" {
		t.Errorf("bob has %s", got)
	}
}

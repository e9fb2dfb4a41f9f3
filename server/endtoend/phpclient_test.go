package endtoend_test

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"peal/server"
)

// phpResult is a Peal\Result as json_encode writes it.
type phpResult struct {
	OK             bool
	Cursor         string
	Code           string
	Message        string
	RetryAfter     *int
	Status         int
	IdempotencyKey string
	Results        []phpResult
	Messages       []struct {
		Channel, Cursor, Data string
		Event                 *string
		Time                  int64
		Binary                bool
	}
	Body json.RawMessage // PHP writes an empty one as [] and others as {…}
}

func (r phpResult) texts() []string {
	var texts []string
	for _, m := range r.Messages {
		texts = append(texts, m.Data)
	}
	return texts
}

// patient are options for who expects an answer: a second is not much on a busy
// machine, and what it is worth has tests of its own.
const patient = `{"connect_timeout": 10, "timeout": 25}`

// client runs PHP code with $peal, a client of url, and returns what it shows.
func client[T any](t *testing.T, url, options, code string) []T {
	t.Helper()
	for _, read := range []string{"testdata/client.php", "../../clients/php/peal.php"} {
		if _, err := os.Stat(read); err != nil { // without it go test answers from its cache when only PHP has changed
			t.Fatal(err)
		}
	}
	var all []T
	for _, line := range lines(t, "client.php", url, options, code) {
		if line != "" {
			all = append(all, decode[T](t, []byte(line)))
		}
	}
	return all
}

// results is client for code that shows n results.
func results(t *testing.T, n int, url, options, code string) []phpResult {
	t.Helper()
	all := client[phpResult](t, url, options, code)
	if len(all) != n {
		t.Fatalf("the code shows %d results, want %d: %+v", len(all), n, all)
	}
	return all
}

func TestPHPClientPublishesAndReadsBack(t *testing.T) {
	tool(t, "php")
	p := start(t)
	got := results(t, 7, p.url, patient, `
		show($peal->publish('php', 'grüße 👋'));
		show($peal->publish('php', ['order' => 17, 'url' => 'a/b', 'name' => 'ü', 'sum' => 2.0]));
		show($peal->publish(['php', 'a/b c?&=%+ü'], str_repeat('x', 60000), ['event' => 'big one', 'idempotency_key' => 'mine-1']));
		show($peal->publish('php', 'by option', ['binary' => true]));
		show($peal->publish('php', ''));
		show($peal->history('php'));
		show($peal->history('a/b c?&=%+ü', ['last' => 1]));
	`)
	for i, r := range got[:5] {
		if !r.OK || r.Status != 200 || r.Code != "" || r.IdempotencyKey == "" {
			t.Errorf("publication %d: %+v", i, r)
		}
	}
	if got[2].IdempotencyKey != "mine-1" || len(got[0].IdempotencyKey) < 16 || got[0].IdempotencyKey == got[1].IdempotencyKey {
		t.Errorf("keys %s, %s, %s", got[0].IdempotencyKey, got[1].IdempotencyKey, got[2].IdempotencyKey)
	}
	history, other := got[5], got[6]
	want := []string{"grüße 👋", `{"order":17,"url":"a/b","name":"ü","sum":2.0}`, strings.Repeat("x", 60000), "by option", ""}
	if !history.OK || !slices.Equal(history.texts(), want) {
		t.Fatalf("history %.300q, want %.300q", history.texts(), want)
	}
	if m := history.Messages; m[0].Event != nil || *m[2].Event != "big one" || m[0].Channel != "php" || m[0].Time == 0 || m[0].Binary || !m[3].Binary {
		t.Errorf("history %.300v", m)
	}
	if !slices.Equal(other.texts(), want[2:3]) || other.Messages[0].Cursor != got[2].Cursor {
		t.Errorf("the other channel has %.100q", other.texts())
	}
	if got := p.poll("channel=php&cursor=earliest").texts()[:3]; !slices.Equal(got, want[:3]) {
		t.Errorf("a poll has %.300q", got)
	}
	if history.Cursor != got[4].Cursor {
		t.Errorf("the history ends at %s, the last message was at %s", history.Cursor, got[4].Cursor)
	}
}

func TestPHPClientPublishesEveryByte(t *testing.T) {
	tool(t, "php")
	p := start(t)
	for i, same := range client[bool](t, p.url, patient, `
		$bytes = implode('', array_map('chr', range(0, 255)));
		$all = [$bytes, "\xff", "\0", "a\r\nb\n", "\u{2028}\u{feff}"];
		foreach ($all as $data) {
			$peal->publish('one', $data);
		}
		show($peal->publishBatch(array_map(function ($data) { return ['channel' => 'batch', 'data' => $data]; }, $all))->ok);
		foreach (['one', 'batch'] as $channel) {
			foreach ($peal->history($channel)->messages as $i => $message) {
				show($message['data'] === $all[$i] && $message['binary'] === ($i < 2));
			}
		}
	`) {
		if !same {
			t.Errorf("answer %d: the bytes are not the same", i)
		}
		if i == 10 {
			return
		}
	}
	t.Error("messages are missing")
}

func TestPHPClientPublishesBatches(t *testing.T) {
	tool(t, "php")
	p := start(t)
	got := results(t, 3, p.url, patient, `
		show($peal->publishBatch([
			['channel' => 'php', 'data' => 'one', 'event' => 'first', 'idempotency_key' => 'k1'],
			['channel' => ['php', 'php2'], 'data' => ['n' => 2]],
			['channel' => 'php', 'data' => 'no', 'event' => 'gap'],
			['channel' => 'php', 'data' => 'three'],
		]));
		show($peal->publishBatch([['channel' => 'php', 'data' => 'four'], ['channel' => 'php', 'data' => 'five']]));
		show($peal->publishBatch(array_fill(0, 1001, ['channel' => 'php', 'data' => 'many'])));
	`)
	mixed, good, many := got[0], got[1], got[2]
	if mixed.OK || mixed.Code != "bad_event" || mixed.Message == "" || mixed.Status != 200 || len(mixed.Results) != 4 {
		t.Fatalf("a batch with a mistake: %+v", mixed)
	}
	for i, r := range mixed.Results {
		if r.OK != (i != 2) || r.OK != (r.Cursor != "") || (r.Code == "bad_event") != (i == 2) || r.IdempotencyKey == "" {
			t.Errorf("result %d is %+v", i, r)
		}
	}
	if mixed.Results[0].IdempotencyKey != "k1" || mixed.Cursor != mixed.Results[3].Cursor {
		t.Errorf("key %s, cursor %s", mixed.Results[0].IdempotencyKey, mixed.Cursor)
	}
	if !good.OK || len(good.Results) != 2 || good.Cursor != good.Results[1].Cursor {
		t.Errorf("a good batch: %+v", good)
	}
	if many.OK || many.Code != "bad_batch" || many.Status != 400 || len(many.Results) != 0 {
		t.Errorf("1,001 messages: %+v", many)
	}
	all := p.poll("channel=php&cursor=earliest")
	if want := []string{"one", `{"n":2}`, "three", "four", "five"}; !slices.Equal(all.texts(), want) || all.Messages[0].Event != "first" {
		t.Errorf("published %q, want %q", all.texts(), want)
	}
}

func TestPHPClientLooksAtChannels(t *testing.T) {
	tool(t, "php")
	p := start(t)
	p.dialSocket("/ws?channel=php.b", nil)
	p.awaitSubscribers("php.b", 1)
	got := results(t, 5, p.url, patient, `
		$first = $peal->publish('php.a', 'one');
		$peal->publish('php.a', 'two');
		$peal->publish('else', 'three');
		show($peal->channel('php.a'));
		show($peal->channels(['prefix' => 'php.']));
		show($peal->channels(['limit' => 1, 'after' => 'else']));
		show($peal->history('php.a', ['cursor' => $first->cursor]));
		show($peal->history('php.a', ['cursor' => 'of-another-life', 'limit' => 1]));
	`)
	type info struct {
		Channel               string
		Subscribers, Messages int
	}
	type list struct {
		Channels []info
		Next     string
	}
	if c := decode[info](t, got[0].Body); !got[0].OK || c != (info{"php.a", 0, 2}) {
		t.Errorf("channel: %+v", c)
	}
	if l := decode[list](t, got[1].Body); !slices.Equal(l.Channels, []info{{"php.a", 0, 2}, {"php.b", 1, 0}}) {
		t.Errorf("channels: %+v", l)
	}
	if l := decode[list](t, got[2].Body); len(l.Channels) != 1 || l.Channels[0].Channel != "php.a" || l.Next != "php.a" {
		t.Errorf("a page of channels: %+v", l)
	}
	if !slices.Equal(got[3].texts(), []string{"two"}) {
		t.Errorf("after a cursor: %q", got[3].texts())
	}
	type page struct {
		More bool
		Gap  []gap
	}
	if b := decode[page](t, got[4].Body); !b.More || len(b.Gap) != 1 || b.Gap[0].Reason != "unknown_cursor" || !slices.Equal(got[4].texts(), []string{"one"}) {
		t.Errorf("after a foreign cursor: %+v", b)
	}
}

func TestPHPClientListsWhoIsThere(t *testing.T) {
	tool(t, "php")
	p := start(t)
	p.dialSocket("/ws?channel=a/b&client=ann&info=Ann%20%26%20co", nil)
	p.dialSocket("/ws?channel=a/b&client=bob", nil)
	p.dialSocket("/ws?channel=a/b", nil)
	p.awaitSubscribers("a%2Fb", 3)
	got := results(t, 3, p.url, patient, `
		show($peal->presence('a/b'));
		show($first = $peal->presence('a/b', ['limit' => 1]));
		show($peal->presence('a/b', ['limit' => 1, 'after' => $first->body['next']]));
	`)
	ann, bob := member{"ann", "Ann & co"}, member{Client: "bob"}
	for i, want := range []present{
		{Members: []member{ann, bob}},
		{Members: []member{ann}, Next: "ann"},
		{Members: []member{bob}},
	} {
		if b := decode[present](t, got[i].Body); !got[i].OK || b.Channel != "a/b" || b.Count != 2 || b.Anonymous != 1 || b.Next != want.Next || !slices.Equal(b.Members, want.Members) {
			t.Errorf("page %d: %+v", i, got[i])
		}
	}
}

func TestPHPClientDisconnects(t *testing.T) {
	tool(t, "php")
	p := start(t)
	ann, bob, seven := p.dialSocket("/ws?client=ann", nil), p.dialSocket("/ws?client=b%C3%B6b", v1), p.dialSocket("/ws?client=7", nil)
	got := results(t, 5, p.url, patient, `
		show($peal->disconnect('ann'));
		show($peal->disconnect(['x' => 'böb', 'y' => 7, 'z' => 'nobody'], 0));
		show($peal->disconnect('nobody', '10m'));
		show($peal->disconnect(['']));
		show($peal->disconnect('ann', -1));
	`)
	for i, want := range []int{1, 2, 0} {
		if n := decode[struct{ Disconnected int }](t, got[i].Body).Disconnected; !got[i].OK || n != want {
			t.Errorf("call %d: %+v, want %d connections", i+1, got[i], want)
		}
	}
	for _, s := range []*socket{ann, bob, seven} {
		if code := s.closed(); code != 4410 {
			t.Errorf("closed with %d", code)
		}
	}
	if got[3].Code != "no_client" || got[3].Status != 0 || got[4].Code != "bad_for" || got[4].Status != 400 {
		t.Errorf("mistakes: %+v", got[3:])
	}
	if code := p.dialSocket("/ws?client=ann", nil).closed(); code != 4410 {
		t.Errorf("ann comes back and is closed with %d", code)
	}
	guests["raw WebSocket"](p, "7")
	p.awaitSubscribers("room", 1)
}

func TestPHPClientSaysWhatIsWrong(t *testing.T) {
	tool(t, "php")
	p := start(t)
	for _, c := range []struct {
		call, code string
		status     int
	}{
		// Found by the server.
		{`publish('$peal', 'x')`, "reserved_channel", 403},
		{`publish("a\n", 'x')`, "bad_channel", 400},
		{`publish('a', 'x', ['event' => 'gap'])`, "bad_event", 400},
		{`publish('a', str_repeat('x', 65537))`, "body_too_large", 413},
		{`publish('a', str_repeat('x', 9 << 20))`, "body_too_large", 413},
		{`publish(array_map('strval', range(1, 200)), 'x')`, "too_many_channels", 400},
		{`publish(array_fill(0, 900, 'long.name'), 'x')`, "target_too_long", 414},
		{`history('a', ['limit' => 0])`, "bad_limit", 400},
		{`publishBatch([['channel' => 'a', 'data' => str_repeat('x', 65537)]])`, "message_too_large", 200},

		// Found by the client.
		{`publish('', 'x')`, "no_channel", 0},
		{`publish([], 'x')`, "no_channel", 0},
		{`publish(null, 'x')`, "no_channel", 0},
		{`publishBatch([['data' => 'x']])`, "no_channel", 0},
		{`publishBatch([['channel' => 'a']])`, "bad_data", 0},
		{`publishBatch(['a'])`, "bad_data", 0},
		{`publish('a', NAN)`, "bad_data", 0},
		{`publish('a', ["\xff"])`, "bad_data", 0},
		{`publish('a', new class implements JsonSerializable { public function jsonSerialize(): int { throw new Exception('no'); } })`, "bad_data", 0},
		{`publish('a', 'x', ['idempotency_key' => "k\r\nHost: evil"])`, "bad_data", 0},
		{`publish('a', 'x', ['idempotency_key' => "k\n"])`, "bad_data", 0},
		{`publish('a', 'x', ['evnt' => 'e'])`, "bad_option", 0},
		{`publishBatch([['channel' => 'a', 'data' => 'x', 'name' => 'e']])`, "bad_option", 0},
		{`history('a', ['since' => 'e'])`, "bad_option", 0},
		{`channels(['page' => 2])`, "bad_option", 0},
		{`presence('a', ['page' => 2])`, "bad_option", 0},
		{`presence('')`, "no_channel", 0},
		{`presence('a', ['limit' => 0])`, "bad_limit", 400},
		{`channel('')`, "no_channel", 0},
	} {
		t.Run(c.call, func(t *testing.T) {
			r := results(t, 1, p.url, patient, `show($peal->`+c.call+`);`)[0]
			if r.OK || r.Code != c.code || r.Status != c.status || r.Message == "" || r.Cursor != "" {
				t.Errorf("%+v, want %s with status %d", r, c.code, c.status)
			}
		})
	}
	if got := p.poll("channel=a&cursor=earliest&timeout=1").texts(); len(got) != 0 {
		t.Errorf("%.100q was published", got)
	}
}

func TestPHPClientIsToldOfItsOwnMistakes(t *testing.T) {
	tool(t, "php")
	for _, c := range []struct{ url, options, code string }{
		{"127.0.0.1:8080", `{}`, "bad_option"},
		{"ftp://127.0.0.1", `{}`, "bad_option"},
		{"http://127.0.0.1:1", `{"timeuot": 2}`, "bad_option"},
		{"http://", `{}`, "unreachable"},
		{"unix:/nowhere/peal.sock", `{}`, "unreachable"},
	} {
		if r := results(t, 1, c.url, c.options, `show($peal->publish('a', 'x'));`)[0]; r.OK || r.Code != c.code || r.Message == "" {
			t.Errorf("%s %s: %+v, want %s", c.url, c.options, r, c.code)
		}
	}
}

func TestPHPClientSpeaksToAUnixSocket(t *testing.T) {
	tool(t, "php")
	socket := filepath.Join(t.TempDir(), "peal.sock")
	startWith(t, func(c *server.Config) { c.Listen = []string{"unix:" + socket} })
	got := results(t, 2, "unix:"+socket, patient, `
		show($peal->publish('php', 'by a file'));
		show($peal->history('php'));
	`)
	if !got[0].OK || !slices.Equal(got[1].texts(), []string{"by a file"}) {
		t.Errorf("%+v", got)
	}
}

// A host that is there but does not answer: nobody accepts, and the queue of
// those who wait is full, so the handshake of TCP itself gets nothing.
func unreachable(t *testing.T) (url string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*unix.SockaddrInet4).Port}
	filler, err := net.DialTCP("tcp", nil, addr) // a backlog of 0 holds one
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { filler.Close() })
	return "http://" + addr.String()
}

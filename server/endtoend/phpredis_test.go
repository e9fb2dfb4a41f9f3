package endtoend_test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"peal/loadtest/redisd"
)

// phpRedis runs PHP code with a RedisPublisher on one of PHP's two clients, and returns
// what it shows.
func phpRedis(t *testing.T, library string, r *redisd.Server, code string) []string {
	t.Helper()
	for _, read := range []string{"testdata/redis.php", "../../clients/php/peal.php"} {
		if _, err := os.Stat(read); err != nil { // see client
			t.Fatal(err)
		}
	}
	return lines(t, "redis.php", library, strconv.Itoa(r.Port()), code)
}

// phpHas ends the test where PHP lacks an extension.
func phpHas(t *testing.T, extension string) {
	t.Helper()
	out, err := exec.Command(tool(t, "php"), "-r", "echo extension_loaded($argv[1]) ? 'yes' : 'no';", extension).Output()
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != "yes" {
		lacking(t, "PHP's extension "+extension+": install Debian's php-redis, php-sqlite3")
	}
}

// inboxOf is the entries of the inbox, each as its fields in one line.
func inboxOf(t *testing.T, r *redisd.Server, key string) (entries []string) {
	t.Helper()
	reply, err := r.Do(t.Context(), "XRANGE", key, "-", "+")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range reply.([]any) {
		entries = append(entries, strings.Trim(fmt.Sprintf("%q", e.([]any)[1]), "[]"))
	}
	return entries
}

func TestPHPPublishesThroughRedis(t *testing.T) {
	for _, library := range []string{"phpredis", "predis"} {
		t.Run(library, func(t *testing.T) {
			if library == "phpredis" {
				phpHas(t, "redis")
			} else if _, err := os.Stat("/usr/share/php/Predis/Autoloader.php"); err != nil {
				lacking(t, "Debian's php-predis")
			}
			r := redisd.For(t, redisd.Options{})
			got := phpRedis(t, library, r, `
				show(preg_match('/^\d+-\d+$/', $peal->publish('news', 'grüße')));
				$peal->publish(['a', 'b'], ['id' => 17, 'url' => 'a/b', 'sum' => 2.0], ['event' => 'paid', 'key' => 'k1', 'ttl' => 60000]);
				$peal->publishToUser(42, "\xff\0", ['binary' => true]);
				(new Peal\RedisPublisher($redis, 'other'))->publish('a', '');
			`)
			if !slices.Equal(got, []string{"1"}) {
				t.Errorf("shown %q", got)
			}
			want := []string{
				`"channel" "news" "data" "grüße"`,
				`"channel" "a" "channel" "b" "data" "{\"id\":17,\"url\":\"a/b\",\"sum\":2.0}" "event" "paid" "key" "k1" "ttl" "60000"`,
				`"user" "42" "data" "\xff\x00" "binary" "1"`,
			}
			if got := inboxOf(t, r, "{peal}:inbox"); !slices.Equal(got, want) {
				t.Errorf("the inbox has %q", got)
			}
			if got := inboxOf(t, r, "{other}:inbox"); !slices.Equal(got, []string{`"channel" "a" "data" ""`}) {
				t.Errorf("the other inbox has %q", got)
			}
		})
	}
}

// The entry is there if the transaction happened, and not if it did not.
func TestPHPPublishesWithinARedisTransaction(t *testing.T) {
	for library, code := range map[string]string{
		"phpredis": `
			$t = $redis->multi();
			$t->set('order', 'paid');
			show((new Peal\RedisPublisher($t))->publish('orders', 'one'));
			show(count($redis->exec()));
			$redis->multi();
			show($peal->publish('orders', 'two'));
			show($redis->exec()[0] !== '');
			$redis->watch('order');
			$other = new Redis();
			$other->connect('127.0.0.1', (int) $argv[2]);
			$other->set('shop:order', 'cancelled');
			$redis->multi();
			$peal->publish('orders', 'never');
			show($redis->exec());
			$redis->multi();
			$peal->publish('orders', 'never');
			show($redis->discard());
			$p = $redis->pipeline();
			show((new Peal\RedisPublisher($p))->publish('orders', 'three'));
			show(count($p->exec()));`,
		"predis": `
			show(null);
			show(count($redis->transaction(function ($t) {
				$t->set('order', 'paid');
				(new Peal\RedisPublisher($t))->publish('orders', 'one');
			})));
			show(null);
			show(count($redis->transaction(function ($t) { (new Peal\RedisPublisher($t))->publish('orders', 'two'); })) === 1);
			try {
				$redis->transaction(function ($t) {
					(new Peal\RedisPublisher($t))->publish('orders', 'never');
					throw new DomainException();
				});
			} catch (DomainException $e) {
				show(false);
			}
			show(true);
			show(null);
			show(count($redis->pipeline(function ($p) { (new Peal\RedisPublisher($p))->publish('orders', 'three'); })));`,
	} {
		t.Run(library, func(t *testing.T) {
			phpHas(t, "redis")
			if _, err := os.Stat("/usr/share/php/Predis/Autoloader.php"); library == "predis" && err != nil {
				lacking(t, "Debian's php-predis")
			}
			r := redisd.For(t, redisd.Options{})
			got := phpRedis(t, library, r, code)
			if want := []string{"null", "2", "null", "true", "false", "true", "null", "1"}; !slices.Equal(got, want) {
				t.Errorf("shown %q, want %q", got, want)
			}
			want := []string{`"channel" "orders" "data" "one"`, `"channel" "orders" "data" "two"`, `"channel" "orders" "data" "three"`}
			if got := inboxOf(t, r, "{peal}:inbox"); !slices.Equal(got, want) {
				t.Errorf("the inbox has %q, want %q", got, want)
			}
		})
	}
}

func TestPHPRedisPublisherRefusesWhatIsWrong(t *testing.T) {
	phpHas(t, "redis")
	r := redisd.For(t, redisd.Options{Users: []string{"shop on nopass ~shop:* +@all"}})
	rows := []struct{ code, says string }{
		{`$peal->publish('', 'x')`, "InvalidArgumentException: a channel is a text of 1 to 200 bytes"},
		{`$peal->publish([], 'x')`, "InvalidArgumentException: name the channel"},
		{`$peal->publish([7], 'x')`, "InvalidArgumentException: a channel is a text"},
		{`$peal->publish(str_repeat('c', 201), 'x')`, "InvalidArgumentException: a channel is a text"},
		{`$peal->publishToUser('', 'x')`, "InvalidArgumentException: a user is a text"},
		{`$peal->publish('a', "\xff" . chr(1), ['idempotency_key' => 'k'])`, `InvalidArgumentException: unknown option "idempotency_key"; the options are event, key`},
		{`$peal->publish('a', 'x', ['ttl' => '5'])`, "InvalidArgumentException: ttl is a number of milliseconds"},
		{`$peal->publish('a', 'x', ['ttl' => 0])`, "InvalidArgumentException: ttl is a number of milliseconds"},
		{`$peal->publish('a', 'x', ['key' => ''])`, "InvalidArgumentException: key is a text of 1 to 200 bytes"},
		{`$peal->publish('a', ["\xff"])`, "JsonException: Malformed UTF-8"},
		{`new Peal\RedisPublisher(new stdClass())`, "InvalidArgumentException: give a connection"},
		{`$redis->rawCommand('AUTH', 'shop', '') && $peal->publish('a', 'x')`, "RedisException: NOPERM"},
	}
	code := ""
	for _, row := range rows {
		code += "fails(function () use ($peal, $redis) { " + row.code + "; });\n"
	}
	got := phpRedis(t, "phpredis", r, code)
	if len(got) != len(rows) {
		t.Fatalf("shown %q", got)
	}
	for i, row := range rows {
		if said := decode[string](t, []byte(got[i])); !strings.HasPrefix(said, row.says) {
			t.Errorf("%s: %s, want %s", row.code, said, row.says)
		}
	}
	if got := inboxOf(t, r, "{peal}:inbox"); len(got) > 0 {
		t.Errorf("the inbox has %q", got)
	}
}

// The examples of the client's page: a transaction, and the outbox.
func TestPHPOutboxDocument(t *testing.T) {
	phpHas(t, "redis")
	phpHas(t, "pdo_sqlite")
	_, dir := unpack(t, "clients/php/README.md")
	if err := os.Symlink(patientClient(t), dir+"/peal.php"); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	r := redisd.For(t, redisd.Options{})
	patch(t, dir+"/order.php", "6379", strconv.Itoa(r.Port()))
	_, wait := phpFile(t, dir+"/order.php")
	wait()
	if got, want := inboxOf(t, r, "{peal}:inbox"), []string{`"channel" "orders" "data" "{\"id\":17,\"paid\":true}" "event" "order.paid"`}; !slices.Equal(got, want) {
		t.Errorf("the inbox has %q, want %q", got, want)
	}

	p := start(t)
	patch(t, dir+"/relay.php", "http://127.0.0.1:8080", p.url)
	for range 2 { // the second time there is a second row
		_, wait = phpFile(t, dir+"/outbox.php")
		wait()
		_, wait = phpFile(t, dir+"/relay.php", "--once")
		wait()
	}
	all := p.poll("channel=orders&cursor=earliest")
	if want := []string{`{"id":17}`, `{"id":17}`}; !slices.Equal(all.texts(), want) || all.Messages[0].Event != "order.paid" {
		t.Errorf("published %q, want %q", all.texts(), want)
	}
}

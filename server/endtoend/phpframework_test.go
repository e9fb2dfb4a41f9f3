package endtoend_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// debianPHP ends a test whose library of PHP is not installed, as tool does.
func debianPHP(t *testing.T, file, pkg string) {
	t.Helper()
	tool(t, "php")
	if _, err := os.Stat("/usr/share/php/" + file); err == nil {
		return
	}
	lacking(t, "Debian's package "+pkg+" is not installed")
}

// file is a block of a document that says which file it is.
var file = regexp.MustCompile("(?ms)^```(?:php|yaml)\n((?:<\\?php //|#) (\\S+).*?)^```$")

// unpack writes the PHP and YAML of a document as the files that their first
// lines name, and returns their names and the folder. PHP without a name would
// be PHP that nobody runs.
func unpack(t *testing.T, document string) (names []string, dir string) {
	t.Helper()
	b, err := os.ReadFile("../../" + document)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for _, found := range file.FindAllSubmatch(b, -1) {
		name := string(found[2])
		names = append(names, name)
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, found[1], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if blocks := strings.Count(string(b), "```php") + strings.Count(string(b), "```yaml"); blocks != len(names) {
		t.Errorf("%s has %d blocks of PHP and YAML, and %d of them say which file they are: %q", document, blocks, len(names), names)
	}
	return names, dir
}

// patientClient returns the path of a peal.php that waits longer than a second,
// for tests that expect an answer on a busy machine.
func patientClient(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "peal.php")
	if err := os.WriteFile(path, []byte(logged(t, "../../clients/php/peal.php")), 0o644); err != nil {
		t.Fatal(err)
	}
	patch(t, path, "'connect_timeout' => 0.2", "'connect_timeout' => 10")
	patch(t, path, "'timeout' => 1.0", "'timeout' => 25")
	return path
}

// shop asks an application of a document, the framework's script, and returns
// its answers.
func shop(t *testing.T, peal, script string, args ...string) []string {
	t.Helper()
	t.Setenv("PEAL_URL", peal)
	t.Setenv("PEAL_PHP", patientClient(t))
	return lines(t, script, args...)
}

// paid checks what both applications do when an order is paid: the answer, the
// stream, and the list with its cursor.
func paid(t *testing.T, script, dir string) {
	t.Helper()
	p := start(t)
	orders, order := p.events("channel=orders"), p.events("channel=orders.17")
	got := shop(t, p.url, script, dir, "POST", "/orders/17/pay", "GET", "/orders")
	if len(got) != 2 || got[0] != `200 {"paid":true}` {
		t.Fatalf("the application answers %q", got)
	}
	list := decode[struct {
		Cursor string
		Recent []struct{ Event, Data string }
	}](t, []byte(strings.TrimPrefix(got[1], "200 ")))
	if len(list.Recent) != 1 || list.Recent[0].Event != "order.paid" || list.Cursor == "" {
		t.Fatalf("the list is %+v", list)
	}
	for _, s := range []*eventStream{orders, order} {
		if e := s.next(); e.name != "order.paid" || e.data != `{"order":17,"amount":19.5}` {
			t.Errorf("the stream has %+v", e)
		}
	}
}

// logged reads a file; a log is whole when its script has ended.
func logged(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const nobody = "http://127.0.0.1:1"

func TestLaravelDocument(t *testing.T) {
	debianPHP(t, "Illuminate/Foundation/Application.php", "php-laravel-framework")
	_, dir := unpack(t, "docs/laravel.md")
	patch(t, dir+"/app/Providers/AppServiceProvider.php", "$worker ? 5 : 1", "25")
	paid(t, "laravel.php", dir)

	// A job that is tried again publishes once, another job again.
	p := start(t)
	for _, job := range []string{"one", "two"} {
		shop(t, p.url, "laravel.php", dir, "--job", job, "POST", "/orders/17/pay", "POST", "/orders/17/pay")
	}
	if got := p.poll("channel=orders&cursor=earliest").texts(); len(got) != 2 {
		t.Errorf("two jobs, each tried twice, published %q", got)
	}
	// Without a cursor the page must not subscribe.
	if got := shop(t, nobody, "laravel.php", dir, "GET", "/orders"); !strings.HasPrefix(got[0], "503 ") {
		t.Errorf("without a server the list is %q", got)
	}

	if got := shop(t, nobody, "laravel.php", dir, "POST", "/orders/17/pay"); !slices.Equal(got, []string{`200 {"paid":true}`}) {
		t.Errorf("without a server the page answers %q", got)
	}
	if text := logged(t, dir+"/storage/logs/laravel.log"); !strings.Contains(text, "WARNING: Peal: publish failed: unreachable") {
		t.Errorf("without a server the log has %.500s", text)
	}
	// In a worker the failure must reach the queue.
	if got := shop(t, nobody, "laravel.php", dir, "--worker", "POST", "/orders/17/pay"); !strings.HasPrefix(got[0], "500 ") {
		t.Errorf("without a server the worker answers %q", got)
	}
	if text := logged(t, dir+"/storage/logs/laravel.log"); !strings.Contains(text, `Illuminate\\Broadcasting\\BroadcastException(code: 0): unreachable: `) {
		t.Errorf("without a server the worker's log has %.500s", text)
	}
}

// What is meant for some must not go to a server that checks no tokens.
func TestLaravelDocumentRefusesPrivateChannels(t *testing.T) {
	debianPHP(t, "Illuminate/Foundation/Application.php", "php-laravel-framework")
	_, dir := unpack(t, "docs/laravel.md")
	event := logged(t, dir+"/app/Events/OrderPaid.php")
	for _, kind := range []string{"PrivateChannel", "PresenceChannel"} {
		secret := strings.ReplaceAll(event, " Channel(", ` \Illuminate\Broadcasting\`+kind+"(")
		if err := os.WriteFile(dir+"/app/Events/OrderPaid.php", []byte(secret), 0o644); err != nil {
			t.Fatal(err)
		}
		p := start(t)
		if got := shop(t, p.url, "laravel.php", dir, "POST", "/orders/17/pay"); !strings.HasPrefix(got[0], "500 ") {
			t.Errorf("%s: the page answers %q", kind, got)
		}
		if all := decode[struct{ Channels []any }](t, p.do("GET", "/channels", "").body); len(all.Channels) != 0 {
			t.Errorf("%s: published on %v", kind, all.Channels)
		}
	}
}

func TestSymfonyDocument(t *testing.T) {
	debianPHP(t, "Symfony/Bundle/FrameworkBundle/FrameworkBundle.php", "php-symfony-framework-bundle")
	debianPHP(t, "Symfony/Component/Yaml/Yaml.php", "php-symfony-yaml")
	debianPHP(t, "Symfony/Component/Security/Core/Security.php", "php-symfony-security-core")
	_, dir := unpack(t, "docs/symfony.md")
	patch(t, dir+"/config/services.yaml", "timeout: 1.0", "timeout: 25")
	paid(t, "symfony.php", dir)

	p := start(t)
	shop(t, p.url, "symfony.php", dir, "ANNOUNCE", "news")
	if got := p.poll("channel=news&cursor=earliest").texts(); !slices.Equal(got, []string{"hello"}) {
		t.Errorf("a message that is handled twice is published as %q", got)
	}
	if got := shop(t, nobody, "symfony.php", dir, "GET", "/orders"); !strings.HasPrefix(got[0], "503 ") {
		t.Errorf("without a server the list is %q", got)
	}

	if got := shop(t, nobody, "symfony.php", dir, "POST", "/orders/17/pay"); !slices.Equal(got, []string{`200 {"paid":true}`}) {
		t.Errorf("without a server the page answers %q", got)
	}
	if text := logged(t, dir+"/log"); !strings.Contains(text, "[warning] Peal: publishBatch failed: unreachable") {
		t.Errorf("without a server the log has %.500s", text)
	}
}

// The example of the client's own page.
func TestPHPClientDocument(t *testing.T) {
	tool(t, "php")
	names, dir := unpack(t, "clients/php/README.md")
	if !slices.Equal(names, []string{"first.php", "token.php", "order.php", "outbox.php", "relay.php"}) {
		t.Fatalf("the files are %q", names)
	}
	if err := os.Symlink(patientClient(t), dir+"/peal.php"); err != nil {
		t.Fatal(err)
	}
	p := start(t)
	patch(t, dir+"/first.php", "http://127.0.0.1:8080", p.url)
	out, wait := phpFile(t, dir+"/first.php")
	if line, _ := out.ReadString('\n'); line != "" {
		t.Errorf("it prints %q", line)
	}
	wait()
	if got := p.poll("channel=orders&cursor=earliest").texts(); !slices.Equal(got, []string{`{"id":17,"paid":true}`}) {
		t.Errorf("published %q", got)
	}

	t.Setenv("PEAL_TOKEN_SECRET", secret)
	out, wait = phpFile(t, dir+"/token.php")
	token, _ := out.ReadString('\n') // it ends without one
	wait()
	if claims := jwtPart(t, token, 1); !strings.HasSuffix(token, "."+hs256(token)) || !strings.Contains(claims, `"peal":{"subscribe":["news","orders.42.*"],"presence":["chat"],"info":{"name":"Ann"}}`) {
		t.Errorf("the token %s has %s", token, claims)
	}
}

// patch puts the test's address into a file that names the default one.
func patch(t *testing.T, path, old, now string) {
	t.Helper()
	text := logged(t, path)
	if !strings.Contains(text, old) {
		t.Fatalf("%s does not name %s", path, old)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, old, now)), 0o644); err != nil {
		t.Fatal(err)
	}
}

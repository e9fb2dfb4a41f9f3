package endtoend_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"peal/loadtest/child"
	"peal/loadtest/redisd"
)

// node launches one node of the log in r. admin is the address of its admin listener.
func node(t *testing.T, r *redisd.Server, flags ...string) (p *peal, admin string) {
	t.Helper()
	port, err := child.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	admin = child.Loopback(port)
	return launch(t, append([]string{"--listen", "127.0.0.1:0", "--admin", admin, "--log", r.URL()}, flags...)...), admin
}

// playCluster runs the commands of the console boxes of a page about a log in Redis: each must print
// what the page says. Lines "peal serve" of a box start nodes. Redis and the nodes have
// other ports than on the page. It returns how many commands there were.
func playCluster(t *testing.T, page string, r *redisd.Server, addresses map[string]string) (commands int) {
	t.Helper()
	cli := tool(t, "redis-cli")
	text, err := os.ReadFile("../../" + page)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "redis-cli"), []byte(fmt.Sprintf("#!/bin/sh\nexec %s -p %d \"$@\"\n", cli, r.Port())), 0o755); err != nil {
		t.Fatal(err)
	}
	s := &session{t: t, known: map[string]string{}}
	for _, box := range regexp.MustCompile("(?ms)^```(sh|console)\n(.*?)^```$").FindAllSubmatch(text, -1) {
		kind, text := string(box[1]), string(box[2])
		if kind == "sh" {
			for line := range strings.Lines(text) {
				if !strings.HasPrefix(line, "peal serve ") {
					continue
				}
				m := regexp.MustCompile(`--listen (\S+) --admin (\S+)`).FindStringSubmatch(line)
				p, admin := node(t, r)
				addresses[m[1]], addresses[m[2]] = p.addr, admin
			}
			continue
		}
		for _, one := range strings.Split("\n"+text, "\n$ ")[1:] {
			command, want, _ := strings.Cut(one, "\n")
			for from, to := range addresses {
				command = strings.ReplaceAll(command, from, to)
			}
			cmd := exec.Command("sh", "-c", command)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+dir+":"+filepath.Dir(pealBinary)+":"+os.Getenv("PATH"))
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			commands++
			got := strings.TrimSpace(string(out) + stderr.String())
			if got = strings.TrimPrefix(got, "(error) "); err != nil || !s.matches(strings.TrimSpace(want), got) {
				t.Errorf("%s\nprints %s (%v)\nand the page has %s", command, got, err, want)
			}
		}
	}
	return commands
}

func TestClusterDocument(t *testing.T) {
	tool(t, "curl")
	r := redisd.For(t, redisd.Options{})
	if n := playCluster(t, "docs/cluster.md", r, map[string]string{}); n < 9 {
		t.Errorf("%d commands", n)
	}
}

func TestLogFormatDocument(t *testing.T) {
	r := redisd.For(t, redisd.Options{})
	p, _ := node(t, r)
	if n := playCluster(t, "docs/log-format.md", r, map[string]string{}); n < 5 {
		t.Errorf("%d commands", n)
	}
	// What the page adds to the inbox is published.
	p.await("the entry of the page is published", func() bool {
		texts := p.poll("channel=orders&cursor=earliest&timeout=1").texts()
		return len(texts) == 1 && texts[0] == `{"id":17}`
	})
}

// The user of docs/cluster.md can do all that Peal needs, and nothing beside its keys.
func TestRedisUserOfTheDocumentIsEnough(t *testing.T) {
	text, err := os.ReadFile("../../docs/cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`ACL SETUSER peal (.*)\n`).FindSubmatch(text)
	if m == nil {
		t.Fatal("docs/cluster.md has no user")
	}
	r := redisd.For(t, redisd.Options{})
	args := []string{"ACL", "SETUSER", "peal"}
	for field := range strings.FieldsSeq(string(m[1])) {
		args = append(args, strings.ReplaceAll(strings.Trim(field, "'"), `\|`, "|"))
	}
	if _, err := r.Do(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("a-long-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := "redis://peal@" + r.Addr()
	a := launch(t, "--listen", "127.0.0.1:0", "--log", url, "--log-password-file", secret)
	b := launch(t, "--listen", "127.0.0.1:0", "--log", url, "--log-password-file", secret)
	at := a.publishTo("/publish?channel=a", "one", "Content-Type: text/plain", "Idempotency-Key: k")
	b.await("the other node has it", func() bool {
		got := b.poll("channel=a&cursor=earliest&timeout=1")
		return len(got.Messages) == 1 && got.Cursor == at
	})
	if _, err := r.Do(t.Context(), "XADD", "{peal}:inbox", "*", "channel", "a", "data", "two"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Do(t.Context(), "XADD", "{peal}:inbox", "*", "channel", "a"); err != nil {
		t.Fatal(err)
	}
	b.await("the entry of the inbox is published, and the bad one set aside", func() bool {
		n, err := r.Do(t.Context(), "XLEN", "{peal}:inbox:refused")
		return len(b.poll("channel=a&cursor=earliest&timeout=1").Messages) == 2 && err == nil && n.(int64) == 1
	})
	denied, err := r.Do(t.Context(), "ACL", "LOG")
	if err != nil || fmt.Sprint(denied) != "[]" {
		t.Errorf("Redis has refused commands of Peal: %v (%v)", denied, err)
	}
	for _, p := range []*peal{a, b} {
		p.ended() // then all that it has to say is there
		if strings.Contains(p.stderr.String(), "a-long-secret") || strings.Contains(p.stderr.String(), "NOPERM") {
			t.Errorf("the log of the server has %s", p.stderr.String())
		}
	}
}

// Entries of the inbox are published once, though nodes are killed while they move them.
func TestInboxIsPublishedOnceThoughNodesAreKilled(t *testing.T) {
	const entries = 600
	r := redisd.For(t, redisd.Options{})
	first, admin := node(t, r)
	operator := newPeal(t, admin)
	first.await("the first node moves", func() bool {
		return strings.Contains(string(operator.do("GET", "/metrics", "").body), "\npeal_inbox_mover 1\n")
	})
	second, _ := node(t, r)
	doomed := []*peal{first, second}
	last, _ := node(t, r)
	for i := range entries {
		args, times := []string{"XADD", "{peal}:inbox", "*", "channel", "in", "data", strconv.Itoa(i)}, 1
		if i%3 == 0 { // a program that repeats
			args, times = append(args, "key", "k"+strconv.Itoa(i)), 2
		}
		for range times {
			if _, err := r.Do(t.Context(), args...); err != nil {
				t.Fatal(err)
			}
		}
		if i == entries/3 || i == 2*entries/3 {
			p := doomed[0]
			doomed = doomed[1:]
			p.signal(syscall.SIGKILL)
			p.exitCode()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	reader := &returning{ctx: ctx, url: last.url + "/sse?channel=in&cursor=earliest", began: func() {}}
	if err := reader.read(entries); err != nil {
		t.Error(err)
	}
	last.await("the inbox is empty", func() bool {
		n, err := r.Do(t.Context(), "XLEN", "{peal}:inbox")
		return err == nil && n.(int64) == 0
	})
	channel := decode[struct{ Messages int }](t, last.do("GET", "/channels/in", "").body)
	if channel.Messages != entries {
		t.Errorf("%d messages were published, want %d", channel.Messages, entries)
	}
}

// Another program writes to the log itself, with ids of the clock: its entries are skipped and
// counted, and publications go on in a new epoch beyond them.
func TestEntriesOfOthersInTheLogAreSkipped(t *testing.T) {
	r := redisd.For(t, redisd.Options{})
	one, admin := node(t, r)
	other, _ := node(t, r)
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	const each = 5
	ended := make(chan error, 1)
	reader := &returning{ctx: ctx, url: other.url + "/sse?channel=a&cursor=earliest", began: func() {}}
	foreign := [][]string{
		{"*", "channel", "a", "data", "x"}, {"*", "e", "\x01\xff", "c", "not hexadecimal", "p", ""}, {"*", "e", "", "c", "0000000000000000"},
	}
	go func() { ended <- reader.read(each * (len(foreign) + 2)) }()
	n := 0
	publish := func() {
		for range each {
			publishUntilAccepted(ctx, t, []*peal{one, other}[n%2], strconv.Itoa(n))
			n++
		}
	}
	publish()
	for _, entry := range foreign {
		if _, err := r.Do(ctx, append([]string{"XADD", "{peal}:log"}, entry...)...); err != nil {
			t.Fatal(err)
		}
		publish()
	}
	// One that nobody can read any more: its id has been used all the same.
	id, err := r.Do(ctx, "XADD", "{peal}:log", fmt.Sprint(uint64(1)<<45), "a", "b")
	if err == nil {
		_, err = r.Do(ctx, "XDEL", "{peal}:log", fmt.Sprint(id))
	}
	if err != nil {
		t.Fatal(err)
	}
	publish()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if reader.connects != 1 {
		t.Errorf("the subscriber has connected %d times", reader.connects)
	}
	operator := newPeal(t, admin)
	for _, p := range []*peal{one, other} { // their logs have errors about this, so nobody may look for others
		defer func() { _, _ = p.process.Stop(syscall.SIGKILL, 0) }()
		p.waited = true
	}
	// Behind the first one, the clock is behind the ids, so "*" takes an id between two of Peal's.
	if text := string(operator.do("GET", "/metrics", "").body); !regexp.MustCompile(`\npeal_log_skipped_total [1-3]\n`).MatchString(text) || !strings.Contains(text, "\npeal_log_lost_total 0\n") {
		t.Errorf("counted: %q", regexp.MustCompile(`(?m)^peal_log_\w+ .*$`).FindAllString(text, -1))
	}
}

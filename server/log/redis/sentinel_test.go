package redis_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"peal/loadtest/redisd"
	"peal/server/log/conform"
	"peal/server/log/redis"
)

// Sentinels and the master have passwords of their own, which are nowhere but on their connections.
func TestSentinelsHaveAPasswordOfTheirOwn(t *testing.T) {
	t.Parallel()
	const ofMaster, ofSentinel = "s3cret-of-the-master", "s3cret-of-the-sentinel"
	primary := redisd.For(t, redisd.Options{AppendOnly: true, AppendFsync: "always", Password: ofMaster})
	sentinel := redisd.SentinelFor(t, redisd.SentinelOptions{Primary: primary, Name: "chat", Password: ofSentinel})
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	var out lines
	c := config()
	c.Log, c.PasswordFile = out.logger(), write("master", ofMaster+"\n")
	url := "redis-sentinel://" + sentinel.Addr() + "/chat"
	good := url + "?sentinel_password_file=" + write("sentinel", ofSentinel+"\n")
	n := conform.Start(t, open(t, good, c))
	must(t, try(n, "one"))
	all := out.String()
	for what, wrong := range map[string]string{
		"none": url, "another": url + "?sentinel_password_file=" + write("wrong", ofMaster), "no file": good + "-not-there", "no such user": good + "&sentinel_user=x",
	} {
		l, err := redis.Open(wrong, c, time.Now)
		if err == nil {
			t.Errorf("%s: it opens", what)
			_ = l.Close()
			continue
		}
		if what != "no file" && !strings.Contains(err.Error(), "those of Sentinels in sentinel_user and sentinel_password_file") {
			t.Errorf("%s: %v", what, err)
		}
		all += err.Error()
	}
	if strings.Contains(all, "s3cret") {
		t.Errorf("a password was told: %s", all)
	}
}

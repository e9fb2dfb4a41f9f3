package settings_test

import (
	"strings"
	"testing"

	"peal/server/settings"
)

// The password in the URL of a log is not printed, and the host is.
func TestPrintedLogHasNoPassword(t *testing.T) {
	for _, url := range []string{"redis://u:s3cr3t@127.0.0.1:7000", "rediss://:s3cr3t@a.example/2?name=x", "redis-sentinel://u:s3cr3t@a:1,b:2/m", "resis://u:s3cr3t@a"} {
		got, err := settings.Load(settings.Input{Flags: map[string][]string{"log": {url}}})
		if err != nil {
			if strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("%s: the error has the password: %v", url, err)
			}
			continue
		}
		if text := got.YAML(); strings.Contains(text, "s3cr3t") || !strings.Contains(text, "redis") {
			t.Errorf("%s is printed with its password, or not at all", url)
		}
	}
}

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"peal/server/apikey"
	"peal/server/settings"
)

// keyed runs peal key with that input. It returns what run prints, the error as main
// would print it, and the exit code.
func keyed(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Setenv("PEAL_CONFIG", "") // no configuration of the person that runs the test
	t.Setenv("PEAL_KEY_FILE", "")
	var out, errs bytes.Buffer
	if err := run(context.Background(), append([]string{"key"}, args...), strings.NewReader(stdin), &out, &errs); err != nil {
		code = exitCode(err)
		errs.WriteString(err.Error())
	}
	return code, out.String(), errs.String()
}

// What the program prints can be used as it is: the lines for the configuration, and
// the key.
func TestKeyCreatePrintsTheKeyAndTheConfiguration(t *testing.T) {
	code, stdout, lines := keyed(t, "", "create", "--name", `my "shop"`, "--allow", "publish:orders.*", "--allow", "disconnect")
	key := strings.TrimSuffix(stdout, "\n")
	if code != 0 || apikey.Check(key) != nil {
		t.Fatalf("exit code %d, %d bytes, %s", code, len(stdout), lines)
	}
	if strings.Contains(lines, key[5:]) || !strings.Contains(lines, "is not shown again") {
		t.Errorf("standard error has the key, or does not say that it is not shown again:\n%s", lines)
	}
	path := filepath.Join(t.TempDir(), "peal.yaml")
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := settings.Load(settings.Input{File: path})
	if err != nil {
		t.Fatalf("%v in\n%s", err, lines)
	}
	if d := s.Config.Keys[0]; len(s.Config.Keys) != 1 || d.Name != `my "shop"` || d.Digest != apikey.Digest(key) || strings.Join(d.Allow, " ") != "publish:orders.* disconnect" {
		t.Errorf("%+v", s.Config.Keys)
	}
	if _, again, _ := keyed(t, "", "create", "--name", "shop", "--allow", "publish"); again == stdout {
		t.Error("the same key twice")
	}

	if code, stdout, message := keyed(t, key+"\n", "digest"); code != 0 || stdout != s.Config.Keys[0].Digest+"\n" {
		t.Errorf("digest: %d %s %s", code, stdout, message)
	}
	for _, args := range [][]string{{"check", "--config", path}, {"check", "--key-file", path}} {
		code, stdout, message := keyed(t, " "+key+"\r\n", args...)
		if want := `ok: key "my \"shop\"" allows publish:orders.*, disconnect` + "\n"; code != 0 || stdout != want {
			t.Errorf("%q: %d %q %s, want %q", args, code, stdout, message, want)
		}
	}
	if code, stdout, message := keyed(t, key, "check"); code != 0 || !strings.HasPrefix(stdout, "ok: the checksum") {
		t.Errorf("check: %d %s %s", code, stdout, message)
	}
	_, other, _ := keyed(t, "", "create", "--name", "shop", "--allow", "publish")
	if code, stdout, message := keyed(t, other, "check", "--config", path); code != 1 || stdout != "" || !strings.Contains(message, "the key is not in "+path+" (keys there: 1)") {
		t.Errorf("check of another key: %d %s %s", code, stdout, message)
	}
}

func TestKeyMistakesNameWhatToChange(t *testing.T) {
	_, stdout, _ := keyed(t, "", "create", "--name", "shop", "--allow", "publish")
	key := strings.TrimSuffix(stdout, "\n")
	for _, c := range []struct {
		stdin string
		args  []string
		code  int
		wants []string
	}{
		{"", []string{"create"}, 2, []string{"--name is missing", "--allow is missing", "peal key create --help"}},
		{"", []string{"create", "--name", "a\nb", "--allow", "publsh", "--allow", "revoke:x"}, 2, []string{"a name is 1 to 64 bytes", "did you mean publish?", "write revoke without a pattern"}},
		{"", []string{"create", "--name", "shop", "--alow", "publish"}, 2, []string{"did you mean --allow?"}},
		{"", []string{"digest"}, 1, []string{"there is no key on standard input"}},
		{"hello", []string{"digest"}, 1, []string{"standard input is not a key", "peal_ and 49 letters and digits"}},
		{key[:20], []string{"check"}, 1, []string{"standard input is not a key"}},
		{key[:20] + "0" + key[20:len(key)-1], []string{"check"}, 1, []string{"wrong checksum"}},
		{"", []string{"check", key}, 2, []string{"takes no arguments", "standard input"}},
		{"", []string{"digest", key}, 2, []string{"takes no arguments"}},
		{key, []string{"check", "--config", "/does/not/exist.yaml"}, 2, []string{"/does/not/exist.yaml"}},
	} {
		code, stdout, message := keyed(t, c.stdin, c.args...)
		for _, want := range c.wants {
			if !strings.Contains(message, want) {
				t.Errorf("%d arguments of %s: %s lacks %q", len(c.args), c.args[0], message, want)
			}
		}
		if code != c.code || stdout != "" {
			t.Errorf("%s: exit code %d, want %d; %d bytes on standard output", c.args[0], code, c.code, len(stdout))
		}
		if strings.Contains(message, key[5:20]) {
			t.Errorf("%s repeats the key: %s", c.args[0], message)
		}
	}
}

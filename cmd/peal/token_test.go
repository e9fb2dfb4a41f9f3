package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"peal/server/grant"
	"peal/server/token"
)

const tokenSecret = "the secret of a test with 32 bytes and more"

// signed runs peal token. It returns what it prints, and the error as main prints it.
func signed(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if err := run(context.Background(), append([]string{"token"}, args...), strings.NewReader(""), &out, &errs); err != nil {
		code = exitCode(err)
		errs.WriteString(err.Error())
	}
	return code, out.String(), errs.String()
}

func TestTokenPrintsOneThatServersAccept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("\n"+tokenSecret+"\nanother one that is longer than 32 bytes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := token.New(token.Config{Secrets: []string{tokenSecret}, Issuers: []string{"i"}, Audiences: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	_, escaped, _ := signed(t, "--escape", `*\x`)
	escaped = strings.TrimSuffix(escaped, "\n")
	flags := []string{
		"--sub", "42", "--subscribe", "orders.*", "--subscribe", "a,b", "--publish", "u." + escaped, "--presence", "room",
		"--info", `{"name": "Ann"}`, "--ttl", "10m", "--jti", "j", "--issuer", "i", "--audience", "a",
	}
	for _, c := range []struct {
		variable string
		args     []string
	}{
		{"", []string{"--secret", tokenSecret}}, {"", []string{"--secret-file", file}}, {tokenSecret, nil}, {tokenSecret + ",the next one", nil},
		{"another one, and not used", []string{"--secret", tokenSecret}},
	} {
		t.Setenv(secretVariable, c.variable)
		code, stdout, stderr := signed(t, append(flags, c.args...)...)
		text, ended := strings.CutSuffix(stdout, "\n")
		if code != 0 || !ended || stderr != "" {
			t.Fatalf("%d %q %s", code, stdout, stderr)
		}
		g, refused := v.Verify([]byte(text))
		if refused != nil {
			t.Fatal(refused)
		}
		if g.Subject != "42" || g.ID != "j" || g.Info != `{"name":"Ann"}` || g.Expires-g.Issued != 600+10 ||
			!g.Allows(grant.Subscribe, "orders.1") || !g.Allows(grant.Subscribe, "a,b") || !g.Allows(grant.Presence, "room") ||
			!g.Allows(grant.Publish, `u.*\x`) || g.Allows(grant.Publish, `u.a\x`) {
			t.Errorf("%+v", g)
		}
	}
}

func TestTokenFaultsNameTheFlag(t *testing.T) {
	good := []string{"--secret", tokenSecret, "--sub", "42"}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--sub", "42"}, "there is no secret: use --secret-file, --secret or PEAL_TOKEN_SECRET"},
		{[]string{"--sub", "42", "--secret", "tooshort"}, "--secret: a secret of 8 bytes: must have at least 32"},
		{[]string{"--sub", "42", "--secret-file", "/nowhere"}, "--secret-file: open /nowhere"},
		{append(good, "--secret-file", "/nowhere"), "exclude each other"},
		{[]string{"--secret", tokenSecret}, "--sub is missing"},
		{append(good, "--ttl", "0s"), "--ttl 0s: must be at least 1s"},
		{append(good, "--subscribe", `a\`), "a pattern of peal is wrong"},
		{append(good, "--subscribe", "$user:1"), "begins with $"},
		{append(good, "--info", "Ann"), "info (an object)"},
		{append(good, "tooshort"), "takes no arguments"},
	} {
		t.Setenv(secretVariable, "")
		code, stdout, stderr := signed(t, c.args...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: %d %q %s, want %q", c.args, code, stdout, stderr, c.want)
		}
		if strings.Contains(stderr, tokenSecret) || strings.Contains(stderr, "tooshort") {
			t.Errorf("%q: the error has the secret: %s", c.args, stderr)
		}
	}
	t.Setenv(secretVariable, "tooshort")
	if code, _, stderr := signed(t, "--sub", "42"); code != 2 || !strings.Contains(stderr, "PEAL_TOKEN_SECRET: a secret of 8 bytes") {
		t.Errorf("%d %s", code, stderr)
	}
}

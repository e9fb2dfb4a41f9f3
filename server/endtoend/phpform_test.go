package endtoend_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var updatePHP = flag.Bool("update-php", false, "rewrite clients/php/peal.php")

// phpSources are the files of the package, in the order of the single file.
var phpSources = []string{"Client.php", "Result.php", "PealException.php", "Token.php"}

const phpHead = `<?php

/*
 * The PHP client of Peal in one file: require 'peal.php'. PHP 7.4 or later with
 * the extensions curl and json. It equals the package peal/peal, and is generated
 * from its src/ by "go test ./server/endtoend -run SingleFile -update-php".
 *
 * SPDX-License-Identifier: Apache-2.0
 */

`

const phpOpening = "<?php\n\ndeclare(strict_types=1);\n\nnamespace Peal;\n"

func TestPHPSingleFileIsThePackage(t *testing.T) {
	const dir = "../../clients/php/"
	want := phpHead + strings.TrimPrefix(phpOpening, "<?php\n\n")
	for _, name := range phpSources {
		b, err := os.ReadFile(dir + "src/" + name)
		if err != nil {
			t.Fatal(err)
		}
		body, ok := strings.CutPrefix(string(b), phpOpening)
		if !ok {
			t.Fatalf("%s does not begin with %q", name, phpOpening)
		}
		want += body
	}
	if *updatePHP {
		if err := os.WriteFile(dir+"peal.php", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(dir + "peal.php")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("clients/php/peal.php is not what src/ makes: go test ./server/endtoend -run SingleFile -update-php")
	}
	files, err := filepath.Glob(dir + "src/*")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(phpSources) {
		t.Errorf("src/ has %q, the single file %q", files, phpSources)
	}
}

// The package loads by PSR-4: each class from the file of its name.
func TestPHPPackageLoads(t *testing.T) {
	tool(t, "php")
	p := start(t)
	got := lines(t, "autoload.php", p.url)
	if want := []string{"Client", "Result", "Token", "PealException", "published"}; !slices.Equal(got, want) {
		t.Errorf("loaded %q, want %q", got, want)
	}
}

// The tests run a later PHP than the oldest that the client is for: at least no
// word of a later one may slip in.
func TestPHPClientIsOfPHP74(t *testing.T) {
	tool(t, "php")
	if got := lines(t, "php74.php", "../../clients/php/peal.php"); !slices.Equal(got, []string{"fine"}) {
		t.Errorf("later than PHP 7.4: %q", got)
	}
	later := filepath.Join(t.TempDir(), "later.php")
	const code = `<?php function f(mixed $a, int|string $b): static { return match (true) { default => str_contains($a?->b, $b) }; }`
	if err := os.WriteFile(later, []byte(code), 0o644); err != nil {
		t.Fatal(err)
	}
	want := []string{"mixed", "int|string", "static", "match", "str_contains", "?->"}
	if got := lines(t, "php74.php", later); !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

func TestPHPTokensAreThoseOfEverybody(t *testing.T) {
	tool(t, "php")
	got := client[string](t, "http://127.0.0.1:1", `{}`, `
		show(Peal\Token::sign(['sub' => '1234567890', 'name' => 'John Doe', 'iat' => 1516239022], 'your-256-bit-secret'));
		show(Peal\Token::sign([], 'k'));
		try {
			show(Peal\Token::sign(['sub' => 'x'], ''));
		} catch (InvalidArgumentException $e) {
			show('refused');
		}
	`)
	want := []string{
		// The example that jwt.io opened with for years.
		"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
		// printf '%s' eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30 | openssl dgst -sha256 -hmac k -binary | basenc --base64url
		"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.sdq8hlcnGupCQofW8T3WXS8lMHPKjY78f7plDHoTsoI",
		"refused",
	}
	if !slices.Equal(got, want) {
		t.Errorf("signed %q, want %q", got, want)
	}
}

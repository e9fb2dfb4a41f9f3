package apikey_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"peal/server/apikey"
)

// created is a key of 32 equal bytes.
func created(t testing.TB, b byte) string {
	t.Helper()
	key, err := apikey.Create(bytes.NewReader(bytes.Repeat([]byte{b}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Computed by another program. Keys are stored elsewhere, so their form and their
// digests never change.
func TestKnownKeys(t *testing.T) {
	for _, c := range []struct {
		b           byte
		key, digest string
	}{
		{0x00, "peal_000000000000000000000000000000000000000000032dO25", "sha256:c78a13f204d1e25fbbcf92bf381e336ac419fc16e77a9ada6c9b23097d0a1f2e"},
		{0x01, "peal_0eL6xfxWSufd8j2VgXSABOw7RzyNqrbp5D9ERWrWD293aVLX7", "sha256:6c2586611dccc965fc9605b60632fd76468b51dcecfbbf6288bba430433c6265"},
		{0xff, "peal_YHJSKWDa6oz1al1yMhwzwM8llg7hJNUca2J5RoW8xP10pBlS8", "sha256:ea2cc59635e28dbc72ed02197c3b35b8112436bde7a9aa4f632434eb1abfedfb"},
	} {
		key := created(t, c.b)
		if key != c.key || apikey.Digest(key) != c.digest || apikey.Check(key) != nil {
			t.Errorf("%#x: %s %s %v", c.b, key, apikey.Digest(key), apikey.Check(key))
		}
	}
}

func TestNewKeysAreValidAndDiffer(t *testing.T) {
	form := regexp.MustCompile(`^peal_[0-9A-Za-z]{49}$`) // what a scanner looks for
	seen := map[string]bool{}
	for range 1000 {
		key, err := apikey.Create(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := apikey.Check(key); err != nil || !form.MatchString(key) || len(key) != apikey.Length || !apikey.Is([]byte(key)) {
			t.Fatalf("a new key of %d bytes: %v", len(key), err)
		}
		if seen[key] {
			t.Fatal("the same key twice")
		}
		seen[key] = true
	}
}

func TestAReaderWithoutEnoughBytesGivesNoKey(t *testing.T) {
	key, err := apikey.Create(bytes.NewReader(make([]byte, 31)))
	if key != "" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d bytes of a key, %v", len(key), err)
	}
}

// Each changed, missing, added or swapped character is found.
func TestMistypedKeysAreFound(t *testing.T) {
	key := created(t, 7)
	const digits = "09azAZ_ -é"
	for i := range len(key) {
		for _, c := range []byte(digits) {
			changed := key[:i] + string(c) + key[i+1:]
			if changed != key && apikey.Check(changed) == nil {
				t.Errorf("byte %d changed to %q: not found", i, c)
			}
		}
		if apikey.Check(key[:i]) != apikey.ErrForm || apikey.Check(key[:i]+key[i+1:]) != apikey.ErrForm {
			t.Errorf("without byte %d: not found", i)
		}
		if i > 0 && key[i] != key[i-1] {
			swapped := key[:i-1] + key[i:i+1] + key[i-1:i] + key[i+1:]
			if apikey.Check(swapped) == nil {
				t.Errorf("bytes %d and %d swapped: not found", i-1, i)
			}
		}
	}
	last := byte('0')
	if key[len(key)-1] == last {
		last = '1'
	}
	if err := apikey.Check(key[:len(key)-1] + string(last)); err != apikey.ErrChecksum {
		t.Errorf("another last digit: %v", err)
	}
	for _, text := range []string{"", "peal_", " " + key, key + "\n", strings.ToUpper(key), "eyJhbGciOiJIUzI1NiJ9.e30.x"} {
		if err := apikey.Check(text); err != apikey.ErrForm {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	}
}

func TestErrorsDoNotRepeatTheKey(t *testing.T) {
	key := created(t, 9)
	for _, text := range []string{key + "x", key[:len(key)-2] + "00"} {
		if err := apikey.Check(text); err == nil || strings.Contains(err.Error(), text[5:20]) {
			t.Error(err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("")
	f.Add(created(f, 1))
	f.Fuzz(func(t *testing.T, text string) {
		if apikey.Check(text) == nil && (len(text) != apikey.Length || !strings.HasPrefix(text, "peal_")) {
			t.Errorf("%q is a key", text)
		}
	})
}

package settings_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"peal/server/apikey"
	"peal/server/settings"
)

// digest is that of a key, which it returns too.
func digest(t *testing.T, b byte) (digest, key string) {
	t.Helper()
	key, err := apikey.Create(bytes.NewReader(bytes.Repeat([]byte{b}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return apikey.Digest(key), key
}

// ofKey are the lines of a file with one key.
func ofKey(t *testing.T, b byte, name, allow string) string {
	d, _ := digest(t, b)
	return fmt.Sprintf("keys:\n  - name: %s\n    digest: %q\n    allow: %s\n", name, d, allow)
}

func TestTheExampleOfKeysIsRead(t *testing.T) {
	path := file(t, keyExample)
	s := load(t, settings.Input{File: path})
	d, _ := digest(t, 1)
	want := []apikey.Definition{{Name: "shop", Digest: d, Allow: []string{"publish:orders.*", "disconnect"}}}
	if !reflect.DeepEqual(s.Config.Keys, want) {
		t.Errorf("got  %+v\nwant %+v", s.Config.Keys, want)
	}
}

func TestKeysComeFromTheFileAndFromKeyFiles(t *testing.T) {
	one, two := file(t, ofKey(t, 2, "crm", "[history]")), file(t, ofKey(t, 3, "mail", "publish"))
	empty := file(t, "# none yet\n")
	path := file(t, ofKey(t, 1, "shop", "[publish]")+fmt.Sprintf("key-file: [%q, %q]\n", one, empty))
	names := func(s *settings.Settings) (names []string) {
		for _, d := range s.Config.Keys {
			names = append(names, d.Name)
		}
		return names
	}
	s := load(t, settings.Input{File: path})
	if got := names(s); !reflect.DeepEqual(got, []string{"shop", "crm"}) {
		t.Errorf("keys %q", got)
	}
	if want := path + ", line 1 and " + one + ", line 1"; s.Sources["keys"] != want {
		t.Errorf("they come from %q, want %q", s.Sources["keys"], want)
	}
	if want := []string{path, one, empty}; !reflect.DeepEqual(s.Files, want) {
		t.Errorf("files %q, want %q", s.Files, want)
	}
	s = load(t, settings.Input{File: path, Environment: []string{"PEAL_KEY_FILE=" + two}})
	if got := names(s); !reflect.DeepEqual(got, []string{"shop", "mail"}) {
		t.Errorf("keys %q: a variable takes precedence over the file", got)
	}
	s = load(t, settings.Input{Flags: map[string][]string{"key-file": {one, two}}})
	if got := names(s); !reflect.DeepEqual(got, []string{"crm", "mail"}) {
		t.Errorf("keys %q", got)
	}
}

func TestAllFaultsOfKeysAtOnce(t *testing.T) {
	d, key := digest(t, 1)
	more := file(t, fmt.Sprintf("keys:\n  - {name: shop, digest: %q, allow: publish}\n  - {name: late, digest: %q, alow: publish}\ndrain: 3s\n", d, "sha256:"+strings.Repeat("zz", 32)))
	path := file(t, fmt.Sprintf(`keys:
  - name: shop
    digest: %q
    allow: [publish, "pubish:a"]
  - name: leak
    digest: %q
    allow: [history]
  - name: list
    digest: [%q]
    allow: [disconnect:a]
`, d, key, key))
	_, err := settings.Load(settings.Input{
		File: path, Environment: []string{"PEAL_KEYS=" + key},
		Flags: map[string][]string{"key-file": {more, "/does/not/exist.yaml"}},
	})
	if err == nil {
		t.Fatal("no fault")
	}
	wants := []string{
		path + `, line 2: key 1, "shop": allow "pubish:a": unknown action; did you mean publish?`,
		path + `, line 5: key 2, "leak": its digest is a key, which must not be in a configuration`,
		path + `, line 9: digest: takes one value`,
		path + `, line 8: key 3, "list": has no digest`,
		path + `, line 8: key 3, "list": allow "disconnect:a": disconnect is not about channels`,
		more + `, line 2: key 4, "shop": key 1 has this name already`,
		more + `, line 2: key 4, "shop": has the digest of key 1`,
		more + `, line 3: alow: unknown setting; did you mean allow?`,
		more + `, line 3: key 5, "late": its digest must be sha256:`,
		more + `, line 3: key 5, "late": allows nothing`,
		more + `, line 4: drain: unknown setting`,
		`--key-file: key-file: open /does/not/exist.yaml`,
		`PEAL_KEYS: keys of backends are set in the configuration file only, under keys:, or in a file that key-file names`,
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %q", want)
		}
	}
	if !strings.Contains(err.Error(), fmt.Sprint(len(wants), " faults")) {
		t.Errorf("want %d faults: %v", len(wants), err)
	}
	if strings.Contains(err.Error(), key[5:]) || strings.Contains(err.Error(), d[7:]) {
		t.Error("a fault repeats a key or a digest")
	}
}

func TestKeysThatAreNoList(t *testing.T) {
	for text, want := range map[string]string{
		"keys:\n":                "must be a list of keys of backends, as in - name: shop",
		"keys: {name: a}\n":      "must be a list of keys of backends",
		"keys:\n  - peal_0000\n": "must be lines of the form name: value, as in name: shop",
		"key:\n  - name: a\n":    "did you mean keys?",
	} {
		if _, err := settings.Load(settings.Input{File: file(t, text)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// The printed configuration has neither keys nor their digests. What comes from key
// files is read again from there.
func TestPrintedKeysHaveNoDigest(t *testing.T) {
	d, _ := digest(t, 1)
	s := load(t, settings.Input{File: file(t, keyExample)})
	printed := s.YAML()
	for _, want := range []string{"\nkeys: # from ", "\n  - name: \"shop\"\n    digest: \"(set)\"\n    allow: [\"publish:orders.*\", \"disconnect\"]\n"} {
		if !strings.Contains(printed, want) {
			t.Errorf("lacks %q:\n%s", want, printed)
		}
	}
	if strings.Contains(printed, d[7:]) {
		t.Error("a digest is printed")
	}
	_, err := settings.Load(settings.Input{File: file(t, printed)})
	if err == nil || !strings.Contains(err.Error(), "its digest must be sha256: and 64 hexadecimal digits") {
		t.Errorf("read again: %v", err)
	}

	s = load(t, settings.Input{Flags: map[string][]string{"key-file": {file(t, keyExample)}}})
	printed = s.YAML()
	if !strings.Contains(printed, "\n#   - name: \"shop\"\n#     digest: \"(set)\"\n") || strings.Contains(printed, d[7:]) {
		t.Errorf("printed:\n%s", printed)
	}
	again := load(t, settings.Input{File: file(t, printed)})
	if !reflect.DeepEqual(again.Config.Keys, s.Config.Keys) {
		t.Errorf("read again it is %+v", again.Config.Keys)
	}
}

func TestChangedKeysCanBeApplied(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	write := func(text string) *settings.Settings {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return load(t, settings.Input{Flags: map[string][]string{"key-file": {path}}})
	}
	before := write(ofKey(t, 1, "shop", "[publish]"))
	for _, text := range []string{ofKey(t, 2, "shop", "[publish]"), ofKey(t, 1, "shop", "[history]"), ofKey(t, 1, "crm", "[publish]"), "keys: []\n", ""} {
		next := write(text)
		changes := before.Changes(next)
		if len(changes) != 1 || changes[0].Name != "keys" || !changes[0].Live {
			t.Errorf("%q: changes %+v", text, changes)
		}
		if taken := before.Take(next, []string{"keys"}); !reflect.DeepEqual(taken.Config.Keys, next.Config.Keys) {
			t.Errorf("%q: taken %+v", text, taken.Config.Keys)
		}
	}
	if changes := before.Changes(write(ofKey(t, 1, "shop", "[publish]"))); len(changes) != 0 {
		t.Errorf("without a change: %+v", changes)
	}
}

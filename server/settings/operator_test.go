package settings_test

import (
	"fmt"
	"strings"
	"testing"

	"peal/server/settings"
)

func TestOperatorKeysComeFromTheirFiles(t *testing.T) {
	one, key := digest(t, 1)
	two, _ := digest(t, 2)
	more := file(t, fmt.Sprintf("operator-keys:\n  - {name: ann, digest: %q, allow: [disconnect, publish]}\n", two))
	path := file(t, fmt.Sprintf("operator-keys:\n  - {name: grafana, digest: %q, allow: read}\noperator-key-file: %q\n", one, more))
	s := load(t, settings.Input{File: path})
	if keys := s.Config.OperatorKeys; len(keys) != 2 || keys[0].Name != "grafana" || keys[1].Name != "ann" || strings.Join(keys[1].Allow, " ") != "disconnect publish" {
		t.Errorf("%+v", keys)
	}
	if text := s.YAML(); strings.Contains(text, one[7:]) || !strings.Contains(text, `name: "grafana"`) {
		t.Error("a digest is printed, or no name")
	}
	if changes := load(t, settings.Input{}).Changes(s); len(changes) == 0 || !changes[0].Live {
		t.Errorf("a reload adds keys: %+v", changes)
	}
	for _, c := range s.Changes(load(t, settings.Input{})) {
		if c.Name == "operator-keys" && c.Live {
			t.Error("a reload would remove the last key, and open the listener")
		}
	}
	_, err := settings.Load(settings.Input{File: file(t, fmt.Sprintf("operator-keys:\n  - {name: a, digest: %q, allow: raed}\n", key))})
	if err == nil || !strings.Contains(err.Error(), "line 2: operator's key 1, \"a\": its digest is a key") || !strings.Contains(err.Error(), "did you mean read?") || strings.Contains(err.Error(), key[5:]) {
		t.Errorf("%v", err)
	}
}

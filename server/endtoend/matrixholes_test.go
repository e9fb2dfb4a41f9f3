package endtoend_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Holes are put into the source of the server by an overlay of the go command: the program
// is built once with all of them, and the matrix runs once for each, with the one alone
// that an environment variable names. The build that people use has none of this.

// holeVariable names the hole that is open in that program.
const holeVariable = "MATRIX_HOLE"

// hole is one place that forgets to ask. old must be in the file exactly once, so that a
// hole cannot rot unnoticed; HOLE in the new text is whether it is open.
type hole struct{ name, file, old, new string }

var holes = []hole{
	{"/publish does not ask", "httpapi/publish.go", "q.Data, q.Binary, q.Event = d.Data, d.Binary, d.Event\n\tif !x.permits(q) {", "q.Data, q.Binary, q.Event = d.Data, d.Binary, d.Event\n\tif !HOLE && !x.permits(q) {"},
	{"a batch does not ask", "publish/batch.go", "if err := b.Gate.Decide(&b.Request); err != nil {", "if err := b.Gate.Decide(&b.Request); err != nil && !HOLE {"},
	{"a batch has no principal", "publish/batch.go", "b.Request.Channels, b.Request.Data, b.Request.Binary =", "if HOLE {\n\t\tb.Request.Who = permit.Principal{}\n\t}\n\tb.Request.Channels, b.Request.Data, b.Request.Binary ="},
	{"a channel is shown without asking", "httpapi/looking.go", "	if !x.permits(q) {\n\t\treturn\n\t}\n\tx.reply(200", "	if !HOLE && !x.permits(q) {\n\t\treturn\n\t}\n\tx.reply(200"},
	{"history and presence do not ask", "httpapi/looking.go", "	if !x.permits(q) {\n\t\treturn\n\t}\n\treply :=", "	if !HOLE && !x.permits(q) {\n\t\treturn\n\t}\n\treply :="},
	{"the listing forgets its prefix", "permit/grant.go", "!who.Covers(Inspect, string(r.Prefix))", "!who.Covers(Inspect, string(r.Prefix)) && !HOLE"},
	{"the presence command asks for history", "command/look.go", "return r.ask(c, l, cmd, permit.Presence,", "a := permit.Presence\n\tif HOLE {\n\t\ta = permit.History\n\t}\n\treturn r.ask(c, l, cmd, a,"},
	{"commands that read do not ask", "command/look.go", "	if err := r.decide(&q); err != nil {", "	if err := r.decide(&q); err != nil && !HOLE {"},
	{"the publish command does not ask", "command/publish.go", "	if err := r.decide(&q); err != nil {\n\t\treturn err\n", "	if err := r.decide(&q); err != nil && !HOLE {\n\t\treturn err\n"},
	{"raw messages are not asked about", "command/publish.go", "	if err := r.decide(&q); err != nil {\n\t\tif r.parks", "	if err := r.decide(&q); err != nil && !HOLE {\n\t\tif r.parks"},
	{"presence events need no grant", "permit/grant.go", "if r.Action == Subscribe && r.Presence &&", "if !HOLE && r.Action == Subscribe && r.Presence &&"},
	{"one user reads the channel of another", "permit/grant.go", "who.Kind == grant.User && who.Subject == user", "who.Kind == grant.User && (who.Subject == user || HOLE)"},
	{"publishing looks at the rule of subscribing", "permit/grant.go", "if r.Action == Publish {\n\t\t\tneed", "if r.Action == Publish && !HOLE {\n\t\t\tneed"},
	{"a token counts as a key", "permit/grant.go", "case who.Kind != grant.Backend:", "case who.Kind != grant.Backend && !HOLE:"},
	{"a wrong token counts as none", "httpapi/stream.go", "if x.denied != nil {", "if x.denied != nil && !HOLE {"},
	{"disconnecting does not ask", "httpapi/disconnect.go", "if !x.permits(q) {", "if !HOLE && !x.permits(q) {"},
	{"revoking does not ask", "httpapi/revoke.go", "if !x.permits(q) {", "if !HOLE && !x.permits(q) {"},
}

// TestMatrixFindsHoles is the test of the matrix.
func TestMatrixFindsHoles(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the program once more: scripts/test.sh runs it")
	}
	program := buildWithHoles(t)
	for _, h := range append([]hole{{}}, holes...) {
		m := newMatrix(t, program, false, holeVariable+"="+h.name)
		m.channels = slices.DeleteFunc(m.channels, func(c matrixChannel) bool { return h.name != "" && strings.HasPrefix(c.name, "other.") })
		m.run(true)
		switch found := len(m.faults) > 0; {
		case h.name == "" && found:
			t.Fatalf("without a hole: %s", m.faults[0])
		case h.name != "" && !found:
			t.Errorf("%s: the matrix did not notice in %d cells", h.name, m.cells)
		case found:
			t.Logf("%s: %s", h.name, m.faults[0])
		}
		m.p.stop()
	}
}

// buildWithHoles builds the program with all holes, and returns the file.
func buildWithHoles(t *testing.T) (program string) {
	t.Helper()
	server, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{} // by file below server
	for _, h := range holes {
		if texts[h.file] == "" {
			text, err := os.ReadFile(filepath.Join(server, h.file))
			if err != nil {
				t.Fatal(err)
			}
			texts[h.file] = string(text)
		}
		if n := strings.Count(texts[h.file], h.old); n != 1 {
			t.Fatalf("%s: %q is %d times in server/%s", h.name, h.old, n, h.file)
		}
		texts[h.file] = strings.Replace(texts[h.file], h.old, strings.ReplaceAll(h.new, "HOLE", "(openHole == \""+h.name+"\")"), 1)
	}
	for file := range texts {
		if dir := filepath.Dir(file); filepath.Base(file) != "hole.go" {
			texts[dir+"/hole.go"] = "package " + filepath.Base(dir) + "\n\nimport \"os\"\n\nvar openHole = os.Getenv(\"" + holeVariable + "\")\n"
		}
	}
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, text := range texts {
		to := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(server, file)] = to
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, list, 0o600); err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(dir, "peal-with-holes")
	if out, err := exec.Command("go", "build", "-overlay", path, "-o", program, "peal/cmd/peal").CombinedOutput(); err != nil {
		t.Fatalf("build with the holes: %v\n%s", err, out)
	}
	return program
}

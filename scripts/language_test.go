package scripts

import (
	"fmt"
	"go/scanner"
	"go/token"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// unplain are phrases that no text of the repository needs, with the plain ones.
var unplain = []struct {
	phrase  *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\b(?:is|are) told\b`), "name the sender and the message, as in: Peal sends a gap"},
	{regexp.MustCompile(`\b(?:is|are) said\b`), "name the subject, as in: the response has the cursor"},
	{regexp.MustCompile(`(?:^|[.!?] |[:|*] ?)Who(?:ever)? [^.?!|]*(?:[.!|]|$)`), "name the subject, as in: A client that reconnects"},
	{regexp.MustCompile(`\bDESIGN(?:\.md)? §`), "name a file and a heading of this repository"},
}

// passage is a text that may continue over several lines.
type passage struct {
	line int // of its first line
	text string
}

// goPassages are the comments and strings of a Go file. Comments on consecutive
// lines are one passage.
func goPassages(src []byte) (all []passage) {
	files := token.NewFileSet()
	file := files.AddFile("", -1, len(src))
	var s scanner.Scanner
	s.Init(file, src, nil, scanner.ScanComments)
	last := 0 // line of the last comment on a line of its own; 0 for none
	for {
		pos, tok, lit := s.Scan()
		line := file.Line(pos)
		switch {
		case tok == token.EOF:
			return all
		case tok == token.COMMENT && strings.HasPrefix(lit, "//"):
			text := strings.TrimSpace(strings.TrimPrefix(lit, "//"))
			if last != 0 && line == last+1 && text != "" {
				all[len(all)-1].text += "\n" + text
			} else {
				all = append(all, passage{line, text})
			}
			last = line
			if text == "" {
				last = 0
			}
		case tok == token.COMMENT, tok == token.STRING:
			all = append(all, passage{line, strings.Trim(lit, "\"`/* \n")})
			last = 0
		case tok != token.SEMICOLON || lit != "\n":
			last = 0
		}
	}
}

// markdownPassages are the paragraphs, headings and lines of tables of a page.
func markdownPassages(src []byte) (all []passage) {
	open := false
	for i, line := range strings.Split(string(src), "\n") {
		text := strings.TrimSpace(line)
		begins := strings.HasPrefix(text, "#") || strings.HasPrefix(text, "|") || strings.HasPrefix(text, "- ")
		switch {
		case text == "":
			open = false
		case open && !begins:
			all[len(all)-1].text += "\n" + text
		default:
			all = append(all, passage{i + 1, strings.TrimSpace(strings.TrimLeft(text, "#-"))})
			open = !strings.HasPrefix(text, "#") && !strings.HasPrefix(text, "|")
		}
	}
	return all
}

// complaints returns what is unplain in passages of a file, one line each.
func complaints(name string, passages []passage) (all []string) {
	for _, p := range passages {
		flat := strings.ReplaceAll(p.text, "\n", " ")
		for _, u := range unplain {
			for _, at := range u.phrase.FindAllStringIndex(flat, -1) {
				line := p.line + strings.Count(p.text[:at[1]], "\n")
				all = append(all, fmt.Sprintf("%s:%d: %q: %s", name, line, strings.TrimLeft(flat[at[0]:at[1]], ".!?:|* "), u.instead))
			}
		}
	}
	return all
}

func TestTextsArePlain(t *testing.T) {
	listed, err := exec.Command("git", "-C", "..", "ls-files", "--", "*.go", "*.md").Output()
	if err != nil {
		t.Fatalf("list the files of the repository: %v", err)
	}
	names := strings.Fields(string(listed))
	if len(names) < 100 {
		t.Fatalf("%d files, want those of the repository", len(names))
	}
	for _, name := range names {
		src, err := os.ReadFile("../" + name)
		if os.IsNotExist(err) || name == "scripts/language_test.go" {
			continue // removed and not committed yet, or the list itself
		}
		if err != nil {
			t.Fatal(err)
		}
		passages := markdownPassages
		if strings.HasSuffix(name, ".go") {
			passages = goPassages
		}
		for _, c := range complaints(name, passages(src)) {
			t.Error(c)
		}
	}
}

func TestUnplainTextsAreFound(t *testing.T) {
	for _, c := range []struct {
		src  string
		want int // complaints
		line int // of the first
	}{
		{"package a\n\n// A client is\n// told of it.\nvar b int\n", 1, 4},
		{"package a\n\nvar b = `it\nis said`\n", 1, 4},
		{"package a\n\n// It ends. Who comes\n// later waits.\n", 1, 4},
		{"package a\n\nvar b int // see DESIGN §7\n", 1, 3},
		{"package a\n\n// Who may publish? A backend.\n", 0, 0},
		{"package a\n\n// The client who asks. It is tolded.\nvar isTold = isSaid\n", 0, 0},
		{"# Title\n\nWho reads slowly gets\na gap.\n", 1, 4},
		{"| a | b |\n| --- | --- |\n| Who waits is visited | c |\n", 1, 3},
		{"## Who may publish?\n\nWho does what?\n", 0, 0},
	} {
		passages := markdownPassages
		if strings.HasPrefix(c.src, "package") {
			passages = goPassages
		}
		got := complaints("file", passages([]byte(c.src)))
		if len(got) != c.want || c.want > 0 && !strings.HasPrefix(got[0], fmt.Sprintf("file:%d: ", c.line)) {
			t.Errorf("%q: %q, want %d from line %d", c.src, got, c.want, c.line)
		}
	}
}

package loop_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// shell is openssl s_client, in which a line "K" asks for new keys and "R" for a new handshake.
type shell struct {
	t   testing.TB
	in  io.WriteCloser
	out chan string
}

func (s *server) openssl(args ...string) *shell {
	s.t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("PEAL_E2E") == "require" {
			s.t.Fatal(err)
		}
		s.t.Skip(err)
	}
	c := exec.Command("openssl", append([]string{"s_client", "-connect", s.addr.String()}, args...)...)
	in, err := c.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	c.Stderr = c.Stdout
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	sh := &shell{s.t, in, make(chan string, 10_000)}
	go func() { // ends with the program
		for lines := bufio.NewScanner(out); lines.Scan(); {
			sh.out <- lines.Text()
		}
		close(sh.out)
	}()
	s.t.Cleanup(func() {
		in.Close()
		c.Process.Kill()
		c.Wait()
	})
	return sh
}

func (s *shell) say(line string) { io.WriteString(s.in, line+"\n") }

// expect waits for a line that has the text.
func (s *shell) expect(text string) {
	s.t.Helper()
	var all []string
	for timeout := time.After(patience); ; {
		select {
		case line, ok := <-s.out:
			if all = append(all, line); strings.Contains(line, text) {
				return
			}
			if !ok {
				s.t.Fatalf("no %q in:\n%s", text, strings.Join(all, "\n"))
			}
		case <-timeout:
			s.t.Fatalf("no %q in:\n%s", text, strings.Join(all, "\n"))
		}
	}
}

func TestOpenSSLIsServed(t *testing.T) {
	s := start(t, options{secure: true})
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		c := s.openssl(version)
		c.say("echo first")
		c.expect("first")
		if version == "-tls1_3" {
			c.say("K") // and wants an answer
			c.expect("KEYUPDATE")
		}
		c.say("echo second")
		c.expect("second")
	}
}

func TestOpenSSLIsRefusedANewHandshake(t *testing.T) {
	s := start(t, options{secure: true})
	c := s.openssl("-tls1_2")
	c.say("echo first")
	c.expect("first")
	c.say("R")
	c.expect("alert unexpected message")
}

func TestOpenSSLIsRefusedOldVersions(t *testing.T) {
	s := start(t, options{secure: true})
	for _, version := range []string{"-tls1", "-tls1_1"} {
		c := s.openssl(version, "-cipher", "ALL:@SECLEVEL=0")
		c.expect("alert protocol version")
	}
}

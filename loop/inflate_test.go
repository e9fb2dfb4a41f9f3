package loop_test

import (
	"strings"
	"testing"

	"peal/loop"
	"peal/loop/deflate"
)

// compressed is a message of a client that is.
func compressed(text string) string {
	return string(masked(0xC0|opText, string(deflate.AppendMessage(nil, []byte(text), deflate.Wide))))
}

// Messages that are compressed and others alternate; the limit is that of what is inside.
func TestCompressedMessagesOfClients(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1, MessageBytes: 10_000}})
	c := s.dial()
	c.ws("wsraw", "a now publish deflate")
	long := strings.Repeat("ä", 5000)
	c.send(compressed("one"), string(masked(0x80|opText, "two")), compressed(""), compressed(long))
	for _, want := range []string{"one", "two", "", long} {
		c.expectFrame(opText, want)
	}
	c.send(compressed(long + "!"))
	c.expectClose(1009)

	other := s.dial()
	other.ws("wsraw", "a now publish deflate")
	other.send(compressed("gr\xc3"))
	other.expectClose(1007)

	plain := s.dial()
	plain.ws("wsraw", "a now publish")
	plain.send(compressed("one"))
	plain.expectClose(1002)
}

// A message of nothing but tables of codes would keep the loop for long: the client is
// closed before it is inflated. A short one is allowed.
func TestTablesOfCodesAreRefused(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	const flush = "\x00\x00\xff\xff"
	tables := func(n int) string {
		all := strings.Repeat("\x04\xc0\x81\x00\x00\x00\x00\x00\x90\xffk\x00"+flush, n)
		return string(masked(0xC0|opText, strings.TrimSuffix(all, flush)))
	}
	c := s.dial()
	c.ws("wsraw", "a now publish deflate")
	c.send(tables(200), compressed("one"))
	c.expectFrame(opText, "")
	c.expectFrame(opText, "one")
	before := s.stats()[0].Work
	c.send(tables(4000))
	c.expectClose(1008)
	if work := s.stats()[0].Work - before; work > 64_000/8+200 {
		t.Errorf("%d units of work", work)
	}
}

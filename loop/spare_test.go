package loop

import "testing"

func TestLargeBuffersOfInputAreUsedAgain(t *testing.T) {
	l := &Loop{inputs: make([]kept, 2)}
	c := &conn{state: stateHTTP, input: 1, need: 200_000}
	body := make([]byte, 200_000)
	read := func() {
		for at := 0; at < len(body); at += readBytes {
			l.addInput(c, body[at:min(len(body), at+readBytes)])
		}
		l.inputBytes -= cap(l.inputs[1].bytes)
		l.freeInput(l.inputs[1].bytes)
		l.inputs[1].bytes = nil
	}
	read()
	if n := testing.AllocsPerRun(20, read); n > 0 {
		t.Errorf("%v allocations for a body", n)
	}
	if l.inputBytes != 0 {
		t.Errorf("%d bytes of input are counted, and none is kept", l.inputBytes)
	}
}

func TestLargeBuffersAreLimited(t *testing.T) {
	var s spareInput
	for range 40 {
		s.put(make([]byte, 0, 100_000))
	}
	if s.bytes > spareLarge || s.bytes < spareLarge-100_000 || len(s.buffers) != s.bytes/100_000 {
		t.Errorf("%d buffers of %d bytes are kept", len(s.buffers), s.bytes)
	}
	if b := s.take(20_000, 1); cap(b) >= 100_000 {
		t.Error("a little input has a large buffer")
	}
	if b := s.take(100_000, 1); cap(b) != 100_000 || len(b) != 0 || s.bytes != len(s.buffers)*100_000 {
		t.Errorf("a buffer of %d, %d bytes are counted", cap(b), s.bytes)
	}
	if s.release(spareTicks, false); s.bytes == 0 {
		t.Error("a buffer is released while they are used")
	}
	if s.release(1+spareTicks, false); s.bytes != 0 || s.buffers != nil {
		t.Error("buffers that nobody needs are kept")
	}
}

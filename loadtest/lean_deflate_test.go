package loadtest

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/lxzan/gws"
)

func TestDeflatedMessagesAreReadWithAndWithoutTakeover(t *testing.T) {
	for name, c := range map[string]struct {
		server   gws.PermessageDeflate
		deflated int
	}{
		"each for itself":  {gws.PermessageDeflate{Enabled: true, Threshold: 1}, 1},
		"one upon another": {gws.PermessageDeflate{Enabled: true, Threshold: 1, ServerContextTakeover: true}, 1},
		"a small window":   {gws.PermessageDeflate{Enabled: true, Threshold: 1, ServerContextTakeover: true, ServerMaxWindowBits: 9}, 1},
		"the large only":   {gws.PermessageDeflate{Enabled: true, Threshold: 1000}, 1},
		"declined":         {gws.PermessageDeflate{}, 0},
	} {
		t.Run("gws, "+name, func(t *testing.T) {
			f, opened := openFleet(t, Spec{Endpoint: Endpoint{Addr: scripted(t, &gws.BuiltinEventHandler{}, &gws.ServerOption{PermessageDeflate: c.server}, func(c *gws.Conn) {
				for i := range uint64(5) {
					_ = c.WriteMessage(gws.OpcodeText, AppendMessage(nil, Stamp{Run: 1, Sequence: i + 1, Scheduled: Now()}, int(3000*i)+StampBytes)) // what is not sent does not arrive
				}
			})}, Kind: GWS, Connections: 1, Deflate: true})
			f.await([]uint64{5}, nil, time.Minute)
			if r := f.sink.report([]uint64{5}, nil); opened.Err() != nil || opened.Deflated != c.deflated || !r.Clean() || r.Delivered != 5 {
				t.Errorf("%v, %+v: %+v, %s", opened.Err(), opened, r.Counts, r.Unread)
			}
		})
		t.Run(name, func(t *testing.T) {
			sizes := []int{StampBytes, 5000, 100_000, StampBytes, 60, 2 << 20, 300}
			f, opened := openFleet(t, Spec{Endpoint: Endpoint{Addr: scripted(t, &gws.BuiltinEventHandler{}, &gws.ServerOption{PermessageDeflate: c.server}, func(c *gws.Conn) {
				for i, size := range sizes {
					_ = c.WriteMessage(gws.OpcodeText, AppendMessage(nil, Stamp{Run: 1, Sequence: uint64(i + 1), Scheduled: Now()}, size)) // what is not sent does not arrive
					_ = c.WritePing(nil)                                                                                                   // gws would take its payload into the window
				}
			})}, Connections: 1, Deflate: true})
			if opened.Err() != nil || opened.Deflated != c.deflated {
				t.Fatalf("%v, %+v", opened.Err(), opened)
			}
			published := []uint64{uint64(len(sizes))}
			f.await(published, nil, 10*time.Second)
			r := f.sink.report(published, nil)
			if !r.Clean() || r.Delivered != published[0] || (r.Traffic.Compressed > 0) != (c.deflated > 0) || r.Traffic.Inflated < 10*r.Traffic.Compressed || r.Traffic.Compressed > r.Traffic.Read {
				t.Errorf("%+v, %+v, %s", r.Counts, r.Traffic, r.Unread)
			}
			if err := f.kind.(*epollKind).conns[0].wire; err != nil && len(err.window) > deflateWindow {
				t.Errorf("a window of %d bytes", len(err.window))
			}
		})
	}
}

// squeeze is message as RFC 7692 wants it.
func squeeze(t *testing.T, message []byte, end func(*flate.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err == nil {
		_, err = w.Write(message)
	}
	if err == nil {
		err = end(w)
	}
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
}

func TestDeflatedFramesAreReadByTheRules(t *testing.T) {
	frameOf := func(first byte, payload []byte) []byte {
		if len(payload) < 126 {
			return append([]byte{first, byte(len(payload))}, payload...)
		}
		return append([]byte{first, 126, byte(len(payload) >> 8), byte(len(payload))}, payload...)
	}
	message := AppendMessage(nil, Stamp{Run: 1, Sequence: 1, Scheduled: Now()}, 200)
	whole := squeeze(t, message, (*flate.Writer).Flush)
	const accepted = "permessage-deflate; server_no_context_takeover"
	for name, c := range map[string]struct {
		accept string
		frames []byte
		reads  bool
	}{
		"in fragments":          {accepted, append(append(frameOf(0x41, whole[:9]), 0x89, 0), frameOf(0x80, whole[9:])...), true},
		"with a last block":     {accepted, frameOf(0xc1, squeeze(t, message, (*flate.Writer).Close)), true},
		"not compressed":        {accepted, frameOf(0x81, message), true},
		"marked twice":          {accepted, append(frameOf(0x41, whole[:9]), frameOf(0xc0, whole[9:])...), false},
		"a compressed ping":     {accepted, []byte{0xc9, 0}, false},
		"not deflate":           {accepted, frameOf(0xc1, []byte("\x07garbage")), false},
		"a bomb":                {accepted, frameOf(0xc1, squeeze(t, make([]byte, partialLimit+1), (*flate.Writer).Flush)), false},
		"declined and used":     {"", frameOf(0xc1, whole), false},
		"another extension":     {"bbf-usp-protocol", nil, false},
		"a parameter of ours":   {"permessage-deflate; client_max_window_bits=9", nil, false},
		"of two, not deflate":   {"permessage-deflate, x-zip", nil, false},
		"with the other's bits": {accepted, frameOf(0xe1, whole), false},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			addr := socketServer(t, nil, c.accept, func(c2, _ net.Conn) { _, _ = c2.Write(c.frames) })
			f, opened := openFleet(t, Spec{Endpoint: Endpoint{Addr: addr}, Connections: 1, Deflate: true})
			if c.frames != nil {
				waitFor(t, f, func(r Received) bool { return r.Closed == 1 })
			}
			r := f.sink.report([]uint64{1}, nil)
			if c.reads != (r.Delivered == 1) || c.reads == (r.Unreadable == 1) || (opened.Err() != nil) != (c.frames == nil) {
				t.Errorf("%v: %+v, %d unreadable (%s)", opened.Err(), r.Counts, r.Unreadable, r.Unread)
			}
		})
	}
}

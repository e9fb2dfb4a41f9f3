package frame_test

import (
	"errors"
	"strings"
	"testing"

	"peal/loop/frame"
)

func TestMaySendOnEveryCode(t *testing.T) {
	// RFC 6455 §7.4 and the IANA registry; Autobahn 7.7, 7.9 and 7.13.
	sendable := map[int]bool{1000: true, 1001: true, 1002: true, 1003: true, 1007: true, 1008: true, 1009: true,
		1010: true, 1011: true, 1012: true, 1013: true, 1014: true}
	for code := range 1 << 16 {
		want := sendable[code] || code >= 3000 && code <= 4999
		if got := frame.MaySend(uint16(code)); got != want {
			t.Errorf("%d: %v, want %v", code, got, want)
		}
		_, _, err := frame.ParseClose([]byte{byte(code >> 8), byte(code)})
		if (err == nil) != want || err != nil && !errors.Is(err, frame.ErrCloseCode) {
			t.Errorf("ParseClose of %d: %v", code, err)
		}
	}
}

func TestParseClose(t *testing.T) {
	for _, c := range []struct {
		payload string
		code    uint16
		reason  string
		err     error
	}{
		{"", 1005, "", nil},
		{"\x03", 0, "", frame.ErrClosePayload},
		{"\x03\xe8", 1000, "", nil},
		{"\x03\xe8bye", 1000, "bye", nil},
		{"\x0f\xa0" + strings.Repeat("€", 41), 4000, strings.Repeat("€", 41), nil},
		{"\x03\xed", 0, "", frame.ErrCloseCode},
		{"\x00\x00", 0, "", frame.ErrCloseCode},
		{"\x03\xe8\xce\xba\xff", 0, "", frame.ErrUTF8},
		{"\x03\xe8\xe2\x82", 0, "", frame.ErrUTF8},
	} {
		code, reason, err := frame.ParseClose([]byte(c.payload))
		if code != c.code || string(reason) != c.reason || !errors.Is(err, c.err) {
			t.Errorf("%q: %d %q %v, want %d %q %v", c.payload, code, reason, err, c.code, c.reason, c.err)
		}
	}
}

func TestAppendCloseCutsTheReasonBetweenCharacters(t *testing.T) {
	for _, c := range []struct{ reason, want string }{
		{"", ""},
		{"going away", "going away"},
		{strings.Repeat("x", 123), strings.Repeat("x", 123)},
		{strings.Repeat("x", 124), strings.Repeat("x", 123)},
		{strings.Repeat("x", 122) + "ü", strings.Repeat("x", 122)},
		{strings.Repeat("€", 41), strings.Repeat("€", 41)},
		{"a" + strings.Repeat("😀", 40), "a" + strings.Repeat("😀", 30)},
		{"good\xffbad", "good"},
		{"cut\xe2\x82", "cut"},
		{"\ufffd is a character", "\ufffd is a character"},
	} {
		b := frame.AppendClose([]byte("dst"), 4413, c.reason)
		want := "dst\x88" + string(rune(2+len(c.want))) + "\x11\x3d" + c.want
		if string(b) != want {
			t.Errorf("%q: %q, want %q", c.reason, b, want)
		}
	}
}

func TestAppendCloseSendsNoIllegalCode(t *testing.T) {
	for _, code := range []uint16{0, 999, 1004, frame.CloseNoStatus, frame.CloseAbnormal, frame.CloseTLS, 2000, 5000} {
		if b := frame.AppendClose(nil, code, "why"); string(b) != "\x88\x00" {
			t.Errorf("%d: % x, want an empty close frame", code, b)
		}
	}
}

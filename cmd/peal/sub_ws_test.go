package main

import (
	"errors"
	"testing"
	"time"

	"github.com/lxzan/gws"
)

func TestCloseCodesSayWhetherAndWhenToComeBack(t *testing.T) {
	for _, want := range []struct {
		code   uint16
		reason string
		after  time.Duration
		status int // 0: the client comes back
	}{
		{1001, "draining: the server is going away; retry in 2731 ms", 2731 * time.Millisecond, 0},
		{1013, "slow: take more; retry in 4000 ms", 4 * time.Second, 0},
		{4429, "too_many_connections: x; retry in 6500 ms", 6500 * time.Millisecond, 0},
		{4429, "rate_limited: try again in 2 s", 0, 0},
		{1006, "", 0, 0},
		{0, "", 0, 0},
		{4401, "token_expired: x; retry in 5 ms", 0, 401},
		{4413, "too_many_channels: x", 0, 413},
	} {
		h := &webSocketHandler{subscriber: &subscriber{}}
		h.OnClose(nil, &gws.CloseError{Code: want.code, Reason: []byte(want.reason)})
		var (
			r     *refusal
			final finalError
		)
		switch ended := errors.As(h.err, &final); {
		case !errors.As(h.err, &r) || ended != (want.status != 0):
			t.Errorf("%d %q: %v, final %v", want.code, want.reason, h.err, ended)
		case r.after != want.after || want.status == 0 && r.final() || want.status != 0 && r.status != want.status:
			t.Errorf("%d %q: after %v, status %d, final %v", want.code, want.reason, r.after, r.status, r.final())
		}
	}
}

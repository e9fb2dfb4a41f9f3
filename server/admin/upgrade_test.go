package admin_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"peal/server/admin"
	"peal/server/auth"
	"peal/server/upgrade"
)

// succeeded is a source whose upgrades have an outcome.
type succeeded struct {
	source
	err    error
	orders []upgrade.Order
}

func (s *succeeded) Succeed(_ context.Context, o upgrade.Order) (upgrade.Report, error) {
	s.orders = append(s.orders, o)
	return upgrade.Report{Process: 7, Version: "v2", Connections: 3, Stayed: map[string]int{"TLS": 1}, Pause: 12.5}, s.err
}

func TestUpgradeResponses(t *testing.T) {
	for _, x := range []struct {
		query  string
		owner  bool
		err    error
		status int
		has    string
		binary string
	}{
		{"", false, nil, 200, `"process":7,"version":"v2"`, ""},
		{"", false, errors.New("the new process was not ready"), 409, `"not_upgraded","message":"not upgraded, the server goes on as it was: the new process was not ready"`, ""},
		{"", false, upgrade.ErrUnderWay, 409, `"upgrade_under_way"`, ""},
		{"?binary=/x/peal", false, nil, 403, `"upgrade_binary_forbidden"`, "none"},
		{"?binary=/x/peal", true, nil, 200, `"stayed":{"TLS":1}`, "/x/peal"},
		{"?binary=peal", true, nil, 400, `"bad_binary"`, "none"},
		{"?path=/x/peal", true, nil, 400, `path`, "none"},
	} {
		s := &succeeded{source: source{ready: true}, err: x.err}
		r := httptest.NewRequest("POST", "http://localhost/upgrade"+x.query, nil)
		if x.owner {
			r = r.WithContext(context.WithValue(r.Context(), admin.Owner{}, true))
		}
		w := httptest.NewRecorder()
		admin.Handler(s, &auth.Policy{}).ServeHTTP(w, r)
		if w.Code != x.status || !strings.Contains(w.Body.String(), x.has) {
			t.Errorf("%s: %d %s, want %d with %s", x.query, w.Code, w.Body, x.status, x.has)
		}
		switch {
		case x.binary == "none":
			if len(s.orders) > 0 {
				t.Errorf("%s: it upgrades: %v", x.query, s.orders)
			}
		case len(s.orders) != 1 || s.orders[0].Binary != x.binary:
			t.Errorf("%s: orders %v, want %q", x.query, s.orders, x.binary)
		}
	}
}

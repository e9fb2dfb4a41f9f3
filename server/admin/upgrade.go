package admin

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"peal/server/inspect"
	"peal/server/upgrade"
)

// serveUpgrade has another process go on for this one.
func serveUpgrade(s Source, w http.ResponseWriter, r *http.Request) {
	order := upgrade.Order{Binary: r.URL.Query().Get("binary")}
	if unknown := inspect.Known(r.URL.Query(), "binary"); unknown != nil {
		refuse(w, unknown)
		return
	}
	if order.Binary != "" {
		if err := mayChoose(r, order.Binary); err != nil {
			refuse(w, err)
			return
		}
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // the new process reads the log first
	report, err := s.Succeed(context.WithoutCancel(r.Context()), order)
	switch {
	case errors.Is(err, upgrade.ErrUnderWay):
		refuse(w, &inspect.Error{Status: http.StatusConflict, Code: "upgrade_under_way", Message: err.Error()})
	case err != nil:
		refuse(w, &inspect.Error{Status: http.StatusConflict, Code: "not_upgraded", Message: "not upgraded, the server goes on as it was: " + err.Error()})
	default:
		w.Header().Set("Connection", "close") // the next request is for the new process
		writeJSON(w, report)
	}
}

// Owner is a value of the context of requests of those who may choose the program of an upgrade: of the
// user of the server or root, through a Unix socket.
type Owner struct{}

// mayChoose is why a request may not name a program, nil if it may: whoever can have the server start any program can do all that
// its user can.
func mayChoose(r *http.Request, path string) error {
	if r.Context().Value(Owner{}) == nil {
		return &inspect.Error{Status: http.StatusForbidden, Code: "upgrade_binary_forbidden", Message: "another program can be chosen only through an admin listener on a Unix socket (admin: unix:/path), by the user of the server or root: install the program at the path of the running one instead"}
	}
	if !filepath.IsAbs(path) {
		return &inspect.Error{Status: http.StatusBadRequest, Code: "bad_binary", Message: "binary must be an absolute path"}
	}
	return nil
}

var upgradeMetrics = []metric{
	{kind: prometheus.CounterValue, desc: desc("upgrades_total", "Upgrades since the start of the first process, by result: completed, failed (the running process went on).", "result"), emit: func(s *state, out func(float64, ...string)) {
		out(float64(s.upgrades.Completed), "completed")
		out(float64(s.upgrades.Failed), "failed")
	}},
	one(prometheus.GaugeValue, "upgrade_pause_seconds", "How long connections waited in the upgrade by which this process serves; 0 for the first process.", func(s *state) float64 {
		return lastUpgrade(s).Pause.Seconds()
	}),
	{kind: prometheus.GaugeValue, desc: desc("upgrade_connections", "Connections in the upgrade by which this process serves, by fate: handed_over, stayed (they were asked to come back).", "fate"), emit: func(s *state, out func(float64, ...string)) {
		out(float64(lastUpgrade(s).Connections), "handed_over")
		out(float64(lastUpgrade(s).Stayed), "stayed")
	}},
}

func lastUpgrade(s *state) upgrade.Last {
	if s.upgrades.Last == nil {
		return upgrade.Last{}
	}
	return *s.upgrades.Last
}

// upgradesOf is what u has, for JSON.
func upgradesOf(u *upgrade.Stats) inspect.Upgrades {
	all := inspect.Upgrades{Began: u.Began.UnixMilli(), Completed: u.Completed, Failed: u.Failed}
	if l := u.Last; l != nil {
		all.Last = &inspect.Upgrade{At: l.At.UnixMilli(), ProcessBefore: l.ProcessBefore, VersionBefore: l.VersionBefore,
			Pause: float64(l.Pause.Microseconds()) / 1000, Connections: l.Connections, Stayed: l.Stayed}
	}
	return all
}

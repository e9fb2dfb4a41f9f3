package main

import (
	"os"
	"strings"
	"testing"
)

// TestLoadRestartUpgrade upgrades the real program under load, by its admin listener and by a signal.
func TestLoadRestartUpgrade(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	serve := "env GORACE=atexit_sleep_ms=0 " + pealEnv + "=1 '" + self + "' serve --listen {port} --loops 1"
	args := append([]string{"restart", "--upgrade", "--upgrades", "2", "--target", "ws://{addr}/ws?channel=a", "--target", "sse+http://{addr}?channel=b", "--target", "poll+http://{addr}?channel=c",
		"--connections", "12", "--rate", "50", "--duration", "3s", "--every", "100ms", "--settle", "60s", "--idle", "0"}, anyMachine...)
	for name, how := range map[string][]string{
		"admin":  {"--start", serve + " --admin 127.0.0.1:{admin}", "--admin", "127.0.0.1:{admin}"},
		"signal": {"--start", serve},
	} {
		code, r, said := loadTested(t, append(args, how...)...)
		if code != 0 || r == nil || r.Upgrades == nil || len(r.Upgrades.Each) != 2 {
			t.Fatalf("%s: exit code %d: %s", name, code, said)
		}
		u := r.Upgrades
		if m := r.Messages; u.Disconnects != 0 || u.Gaps != 0 || m.Delivered != m.Expected || m.Delivered != 12*m.Sent || u.Publishers == nil || u.Deliveries == nil {
			t.Errorf("%s: %+v, %+v", name, u, m)
		}
		if a, b := u.Each[0].PID, u.Each[1].PID; a == 0 || b == 0 || a == b || r.Server.PID == a || !strings.Contains(said, "disconnected · repeated · gaps") {
			t.Errorf("%s: processes %d and %d after %d: %s", name, a, b, r.Server.PID, said)
		}
	}
	if code, _, said := loadTested(t, args...); code != 2 || !strings.Contains(said, "--start") {
		t.Errorf("without --start: exit code %d: %s", code, said)
	}
}

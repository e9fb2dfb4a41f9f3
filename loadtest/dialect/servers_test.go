package dialect_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"peal/loadtest/report"
)

// example is a real server, and how it is load tested: docs/loadtest.md has these
// flags. In start, DIR stands for a folder, in which the server is if it was built.
type example struct {
	name    string
	needs   []string // programs and files
	build   string   // package of the Go module in testdata/servers
	start   string
	flags   []string
	reorder bool // its server does not keep the order
}

const (
	servers      = "testdata/servers/"
	mercureToken = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJtZXJjdXJlIjp7InB1Ymxpc2giOlsiKiJdfX0.ETR59vI9hxYRinmwftJsGtDmEYdchN8uSx5q48pIiFE"
)

var examples = []example{
	{name: "Socket.IO", needs: []string{"node", servers + "node_modules/socket.io"}, start: "node " + servers + "socketio.mjs {port}",
		flags: []string{"--dialect", "examples/socketio.yaml", "--target", "ws://127.0.0.1:{port}?channel=bench"}},
	{name: "GraphQL-WS", needs: []string{"node", servers + "node_modules/graphql-ws"}, start: "node " + servers + "graphql.mjs {port}",
		flags: []string{"--dialect", "examples/graphql-ws.yaml", "--target", "ws://127.0.0.1:{port}?channel=bench"}},
	{name: "SignalR", needs: []string{"node", servers + "node_modules/@microsoft/signalr"}, start: "node " + servers + "signalr.mjs {port}",
		flags: []string{"--dialect", "examples/signalr.yaml", "--target", "ws://127.0.0.1:{port}?channel=bench"}},
	{name: "Action Cable", needs: []string{"puma", "/usr/share/doc/ruby-actioncable"}, start: "puma -e production -q -t 1:1 -b tcp://127.0.0.1:{port} " + servers + "cable.ru",
		flags: []string{"--dialect", "examples/actioncable.yaml", "--target", "ws://127.0.0.1:{port}?channel=bench"}, reorder: true},
	{name: "MQTT", needs: []string{"mosquitto"}, start: "sh " + servers + "mosquitto.sh {port} DIR",
		flags: []string{"--target", "mqtt+ws://127.0.0.1:{port}?channel=bench"}},
	{name: "Nchan, WebSocket", needs: []string{"nginx", "/usr/lib/nginx/modules/ngx_nchan_module.so"}, start: "sh " + servers + "nginx.sh {port} DIR",
		flags: []string{"--target", "nchan+ws://127.0.0.1:{port}?channel=bench"}},
	{name: "Nchan, event stream", needs: []string{"nginx", "/usr/lib/nginx/modules/ngx_nchan_module.so"}, start: "sh " + servers + "nginx.sh {port} DIR",
		flags: []string{"--target", "nchan+http://127.0.0.1:{port}?channel=bench"}},
	{name: "Centrifuge", build: "centrifuge", start: "DIR/centrifuge {port}",
		flags: []string{"--target", "centrifugo+ws://127.0.0.1:{port}?channel=bench", "--header", "X-API-Key: secret"}},
	{name: "Mercure", build: "mercure", start: "DIR/mercure {port}",
		flags: []string{"--target", "mercure+http://127.0.0.1:{port}?channel=bench", "--header", "Authorization: Bearer " + mercureToken}},
}

// TestRealServers runs peal load against servers that others wrote. They are skipped
// where they are not installed, unless PEAL_E2E=require.
func TestRealServers(t *testing.T) {
	peal := filepath.Join(t.TempDir(), "peal")
	if out, err := exec.Command("go", "build", "-o", peal, "peal/cmd/peal").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, e := range examples {
		t.Run(e.name, func(t *testing.T) {
			dir := t.TempDir()
			e.require(t, dir)
			file := filepath.Join(dir, "report.json")
			args := []string{"load", "fanout", "--start", strings.ReplaceAll(e.start, "DIR", dir), "--connections", "6", "--channels", "2",
				"--rate", "100", "--duration", "1s", "--idle", "0", "--settle", "30s", "--json", file}
			// The report decides: the exit code would also say that the machine is busy.
			said, err := exec.Command(peal, append(args, e.flags...)...).CombinedOutput()
			content, readErr := os.Open(file)
			if readErr != nil {
				t.Fatalf("no report: %v\n%s", err, said)
			}
			defer content.Close()
			r, err := report.Read(content)
			if err != nil {
				t.Fatal(err)
			}
			if m := r.Messages; m == nil || m.Delivered == 0 || m.Delivered != m.Expected || m.Lost+m.Duplicated+m.Foreign+m.Refused != 0 ||
				m.Reordered > 0 && !e.reorder || r.Errors() != 0 || r.Aborted != "" {
				t.Errorf("%+v, %+v\n%s", r.Connections, r.Messages, said)
			}
			if len(r.Settings.Dialects) != 1 || r.Settings.Dialects[0].Name == "" {
				t.Errorf("the report does not name the dialect: %+v", r.Settings.Dialects)
			}
		})
	}
}

// require skips the test if the server is not here, and builds it if it is Go.
func (e *example) require(t *testing.T, dir string) {
	t.Helper()
	required := os.Getenv("PEAL_E2E") == "require"
	absent := func(reason string) {
		t.Helper()
		if required {
			t.Fatal(reason + "; PEAL_E2E=require says that it must be here")
		}
		t.Skip(reason)
	}
	for _, need := range e.needs {
		if _, err := exec.LookPath(need); strings.Contains(need, "/") {
			if _, err = os.Stat(need); err != nil {
				absent(need + " is not installed: .ci/run does it")
			}
		} else if err != nil {
			absent(need + " is not installed: .ci/run does it")
		}
	}
	if e.build == "" {
		return
	}
	if testing.Short() && !required {
		t.Skip("it takes half a minute to build")
	}
	// Its source is a text, which is no part of the program that this repository is.
	source, err := filepath.Abs(servers + e.build)
	if err != nil {
		t.Fatal(err)
	}
	overlay := fmt.Sprintf(`{"Replace":{%q:%q}}`, filepath.Join(source, "main.go"), filepath.Join(source, "main.txt"))
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), []byte(overlay), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-C", servers, "-overlay", filepath.Join(dir, "overlay.json"), "-o", dir, "./"+e.build)
	build.Env = os.Environ()
	if !required {
		build.Env = append(build.Env, "GOPROXY=off") // only from what is here
	}
	if out, err := build.CombinedOutput(); err != nil {
		absent("it cannot be built here: " + string(out))
	}
}

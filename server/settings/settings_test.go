package settings_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"peal/server"
	"peal/server/apikey"
	"peal/server/app"
	"peal/server/ask"
	"peal/server/credential"
	"peal/server/rate"
	"peal/server/rules"
	"peal/server/settings"
	"peal/server/webhook"
)

// file writes a configuration file and returns its path.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "peal.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, in settings.Input) *settings.Settings {
	t.Helper()
	s, err := settings.Load(in)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNothingSetIsTheZeroConfig(t *testing.T) {
	s := load(t, settings.Input{})
	if !reflect.DeepEqual(s.Config, server.Config{}) || len(s.Sources) != 0 {
		t.Errorf("config %+v, sources %v, want zero: then the rooms' own defaults hold", s.Config, s.Sources)
	}
}

// leaves calls f with each settable field below v.
func leaves(v reflect.Value, path string, f func(path string, v reflect.Value)) {
	for i := range v.NumField() {
		field, name := v.Field(i), path+"."+v.Type().Field(i).Name
		switch {
		case strings.HasPrefix(name, "Config.Loop.Admission"), strings.HasPrefix(name, "Config.Loop.Inflow"): // server.Config makes it of Config.Admission
		case field.Kind() == reflect.Struct && field.Type() != reflect.TypeFor[rate.Limit]():
			leaves(field, name, f)
		case strings.HasSuffix(name, ".Log"), name == "Config.LostLines", name == "Config.Reread", name == "Config.Succeed", name == "Config.Version":
		case !v.Type().Field(i).IsExported(): // of tests
		case name == "Config.Hub.Rules": // server.New makes them of Config.Channels
		case name == "Config.Settings.Redis.Config.QueueBytes": // that is Config.File.QueueBytes
		case name == "Config.Settings.Redis.Config.Window": // that is Config.IdempotencyWindow
		case name == "Config.Presence.Share": // that is Config.AddressShare
		case name == "Config.Token.Now", name == "Config.Token.Transport": // of tests
		case name == "Config.Token.Prefix", name == "Config.Token.Form": // of package server
		default:
			f(name, field)
		}
	}
}

func TestEveryFieldOfTheConfigHasOneSetting(t *testing.T) {
	var c server.Config
	rows := map[any]string{}
	for _, s := range settings.All() {
		p := s.Field(&c)
		if other := rows[p]; other != "" {
			t.Errorf("%s and %s set the same field", other, s.Name)
		}
		rows[p] = s.Name
	}
	// The keys of an item set the fields of the last item.
	c.Channels, c.Keys, c.OperatorKeys = make([]rules.Rule, 2), make([]apikey.Definition, 2), make([]credential.Definition, 2)
	c.Apps, c.Webhooks, c.Ask = make([]app.Definition, 2), make([]webhook.Definition, 2), make([]ask.Definition, 2)
	for _, list := range settings.Lists() {
		for _, s := range list.Settings {
			p := s.Field(&c)
			if other := rows[p]; other != "" {
				t.Errorf("%s and %s set the same field", other, s.Name)
			}
			rows[p] = s.Name
		}
	}
	check := func(path string, v reflect.Value) {
		if rows[v.Addr().Interface()] == "" {
			t.Errorf("%s has no setting", path)
		}
	}
	leaves(reflect.ValueOf(&c).Elem(), "Config", func(path string, v reflect.Value) {
		if path == "Config.Channels" || path == "Config.Keys" || path == "Config.OperatorKeys" || path == "Config.Apps" || path == "Config.Webhooks" || path == "Config.Ask" {
			leaves(v.Index(1), path, check)
			return
		}
		check(path, v)
	})
}

func TestDefaultsAreThoseOfTheConfigAndInTheirRange(t *testing.T) {
	effective := server.Config{}.WithDefaults()
	for _, s := range settings.All() {
		// What is shown as the default, said aloud, must change nothing.
		if s.Default != "" {
			continue
		}
		values := []string{strings.Trim(s.DefaultText(), `"`)}
		got, err := settings.Load(settings.Input{Flags: map[string][]string{s.Name: values}})
		if err != nil {
			t.Errorf("the default of %s is refused: %v", s.Name, err)
			continue
		}
		if c := got.Config.WithDefaults(); !reflect.DeepEqual(c, effective) {
			t.Errorf("--%s %s is shown as the default and is not", s.Name, values)
		}
	}
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	path := file(t, "drain: 1s\nworkers: 3\nworker-queue: 4\nlisten: [127.0.0.1:1, '[::1]:1']\n")
	s := load(t, settings.Input{
		File:        path,
		Environment: []string{"PEAL_DRAIN=2s", "PEAL_WORKERS=5", "PEAL_OPEN=true", "HOME=/"},
		Flags:       map[string][]string{"drain": {"3s", "4s"}, "inherit": {"3,4", "5"}},
	})
	want := server.Config{Drain: 4 * time.Second, Workers: 5, WorkerQueue: 4, Open: true, Inherit: []int{3, 4, 5},
		Listen: []string{"127.0.0.1:1", "[::1]:1"}}
	if !reflect.DeepEqual(s.Config, want) {
		t.Errorf("got %+v, want %+v", s.Config, want)
	}
	for name, source := range map[string]string{"drain": "--drain", "workers": "PEAL_WORKERS", "worker-queue": path + ", line 3"} {
		if s.Sources[name] != source {
			t.Errorf("%s comes from %q, want %q", name, s.Sources[name], source)
		}
	}
}

func TestTheFileCanBeNamedInTheEnvironment(t *testing.T) {
	s := load(t, settings.Input{Environment: []string{"PEAL_CONFIG=" + file(t, "workers: 7\n")}})
	if s.Config.Workers != 7 {
		t.Errorf("%d workers, want 7", s.Config.Workers)
	}
}

func TestValues(t *testing.T) {
	var c server.Config
	check := func(name, value string, field any, want any) {
		t.Helper()
		s, err := settings.Load(settings.Input{Flags: map[string][]string{name: {value}}})
		if err != nil {
			t.Error(err)
			return
		}
		c = s.Config
		if got := reflect.ValueOf(field).Elem().Interface(); got != want {
			t.Errorf("--%s %s is %v, want %v", name, value, got, want)
		}
	}
	check("message-bytes", "128KiB", &c.Loop.MessageBytes, 128<<10)
	check("message-bytes", "1 MiB", &c.Loop.MessageBytes, 1<<20)
	check("message-bytes", "2000", &c.Loop.MessageBytes, 2000)
	check("message-bytes", "2000B", &c.Loop.MessageBytes, 2000)
	check("history-age", "1h30m", &c.Hub.Limits.Age, 90*time.Minute)
	check("history-messages", "0", &c.Hub.Limits.Messages, -1) // 0 in the Config is the default
	check("history-messages", "5", &c.Hub.Limits.Messages, 5)
	check("open", "true", &c.Open, true)
	check("admin", "127.0.0.1:1", &c.Admin, "127.0.0.1:1")
}

func TestAllFaultsAtOnce(t *testing.T) {
	path := file(t, "histroy-age: 5m\ndrain: soon\nworkers: 1\nworkers: 2\nadmin:\nopen: maybe\nloops: [1, 2]\nheartbeat: 0\nring-slots: 1000\n")
	_, err := settings.Load(settings.Input{
		File:        path,
		Environment: []string{"PEAL_MESSAGE_BYTE=1KiB", "PEAL_WORKERS=-3", "PEAL_ENTIRELY_WRONG_WORD=1"},
		Flags:       map[string][]string{"message-bytes": {"64kb"}, "listen": {"0.0.0.0:80"}, "history-bytes": {"99999999999GiB"}, "inherit": {"x"}},
	})
	var faults settings.Faults
	if !errors.As(err, &faults) {
		t.Fatalf("got %v, want faults", err)
	}
	wants := []string{
		path + ", line 1: histroy-age: unknown setting; did you mean history-age?",
		path + `, line 2: drain "soon": must be a duration as in 10s`,
		path + ", line 4: workers: is set in line 3 already",
		path + ", line 5: admin: has no value",
		path + `, line 6: open "maybe": must be true or false`,
		path + ", line 7: loops: takes one value",
		path + `, line 8: heartbeat "0": must be 1s to 24h; omit it for the default, 20s`,
		"PEAL_MESSAGE_BYTE: unknown setting; did you mean PEAL_MESSAGE_BYTES?",
		`PEAL_WORKERS "-3": must be 1 to 1024; omit it for the default, 2`,
		"PEAL_ENTIRELY_WRONG_WORD: unknown setting; docs/configuration.md and peal serve --print-config list all settings",
		`--message-bytes "64kb": must be a size as in 64KiB`,
		`--history-bytes "99999999999GiB": must be a size`,
		`--inherit "x": "x" must be the number of a descriptor`,
		`listen on "0.0.0.0:80": every client`,
		"ring-slots 1000: must be a power of two",
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %q", want)
		}
	}
	if len(faults) != len(wants) {
		t.Errorf("%d faults, want %d: %v", len(faults), len(wants), err)
	}
}

func TestMessagesMustFitTheInput(t *testing.T) {
	_, err := settings.Load(settings.Input{Flags: map[string][]string{"message-bytes": {"128MiB"}}})
	if err == nil || !strings.Contains(err.Error(), "set input-bytes to 268582912 or more") || !strings.Contains(err.Error(), "set held-bytes to 357918040 or more") {
		t.Errorf("got %v", err)
	}
}

func TestFilesThatAreNoMapping(t *testing.T) {
	for _, text := range []string{"- a\n", "drain\n", "a: [\n", "drain: {a: b}\n", "drain: 1s\n---\ndrain: 2s\n", "listen: [[a]]\n", "listen: [null]\n"} {
		if _, err := settings.Load(settings.Input{File: file(t, text)}); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	if _, err := settings.Load(settings.Input{File: filepath.Join(t.TempDir(), "none.yaml")}); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("a file that is not there: %v", err)
	}
	for _, text := range []string{"", "# nothing\n"} {
		load(t, settings.Input{File: file(t, text)})
	}
}

// Kubernetes describes every Service of a namespace in every container there:
// the Service's name in capitals, and what the kubelet appends to it.
func TestVariablesOfKubernetesAreLeftAlone(t *testing.T) {
	var environment []string
	for _, service := range []string{"PEAL", "PEAL_ADMIN", "PEAL_METRICS_2", "PEAL_LOG", "PEAL_MAX_CONNECTIONS", "PEAL_SERVICE", "PEAL_PORT"} {
		environment = append(environment, service+"_SERVICE_HOST=10.0.0.1", service+"_SERVICE_PORT=80", service+"_SERVICE_PORT_HTTP=80", service+"_SERVICE_PORT_HTTP_ALT=81",
			service+"_SERVICE_HOST=fd00::1", service+"_PORT=tcp://[fd00::1]:80")
		for _, protocol := range []string{"tcp", "udp", "sctp"} {
			at := service + "_PORT_8080_" + strings.ToUpper(protocol)
			environment = append(environment, service+"_PORT="+protocol+"://10.0.0.1:80", at+"="+protocol+"://10.0.0.1:8080", at+"_PROTO="+protocol, at+"_PORT=8080", at+"_ADDR=10.0.0.1")
		}
	}
	for _, entry := range environment {
		if s, err := settings.Load(settings.Input{Environment: []string{entry}}); err != nil || len(s.Sources) != 0 {
			t.Errorf("%s: %v", entry, err)
		}
	}
	// No setting is lost among them, and what only looks like them is refused.
	for _, s := range settings.All() {
		if settings.OfKubernetes(s.Variable(), "tcp://10.0.0.1:80") {
			t.Errorf("%s would be ignored", s.Variable())
		}
	}
	for _, entry := range []string{"PEAL_PORT=8080", "PEAL_LISTEN_PORT=8080", "PEAL_ADMIN_PORT=8081", "PEAL_SERVICES_HOST=x", "PEAL_PORT_HTTP=80", "PEAL_PORT_80_QUIC=x", "PEALX_PORT_80_TCP_NAME=x"} {
		_, err := settings.Load(settings.Input{Environment: []string{entry}})
		if ours := strings.HasPrefix(entry, "PEAL_"); ours != (err != nil) {
			t.Errorf("%s: %v", entry, err)
		}
	}
}

func TestForeignVariablesAreLeftAlone(t *testing.T) {
	load(t, settings.Input{Environment: []string{"PEAL_URL=http://x", "PEAL_DRAIN=", "PEAL_SEED=1"}})
}

func TestWhatIsPrintedCanBeReadAgain(t *testing.T) {
	for _, in := range []settings.Input{
		{},
		{Flags: map[string][]string{"listen": {"127.0.0.1:1,[::1]:2"}, "inherit": {"3"}, "history-messages": {"0"}, "admin": {"localhost:1"}, "admin-host": {"peal.internal"}, "allow-origin": {"https://a.example,https://b.example:8443"}, "open": {"true"}, "trusted-proxies": {"10.0.0.0/8,unix"}, "message-bytes": {"70000"}}},
	} {
		s := load(t, in)
		again := load(t, settings.Input{File: file(t, s.YAML())})
		a, b := s.Config.WithDefaults(), again.Config.WithDefaults()
		if len(a.Listen) == 0 && len(b.Listen) == 0 {
			a.Listen, b.Listen = nil, nil
		}
		for _, list := range [][2]*[]string{{&a.AdminHosts, &b.AdminHosts}, {&a.Origins, &b.Origins}, {&a.TrustedProxies, &b.TrustedProxies}, {&a.KeyFiles, &b.KeyFiles}, {&a.OperatorKeyFiles, &b.OperatorKeyFiles}, {&a.AppFiles, &b.AppFiles},
			{&a.Token.Secrets, &b.Token.Secrets}, {&a.Token.Keys, &b.Token.Keys}, {&a.Token.JWKS, &b.Token.JWKS}, {&a.Token.Issuers, &b.Token.Issuers}, {&a.Token.Audiences, &b.Token.Audiences},
			{&a.Mercure.Publisher.Secrets, &b.Mercure.Publisher.Secrets}, {&a.Mercure.Publisher.Keys, &b.Mercure.Publisher.Keys}, {&a.Mercure.Publisher.JWKS, &b.Mercure.Publisher.JWKS},
			{&a.Mercure.Publisher.Issuers, &b.Mercure.Publisher.Issuers}, {&a.Mercure.Publisher.Audiences, &b.Mercure.Publisher.Audiences},
			{&a.Mercure.Subscriber.Secrets, &b.Mercure.Subscriber.Secrets}, {&a.Mercure.Subscriber.Keys, &b.Mercure.Subscriber.Keys}, {&a.Mercure.Subscriber.JWKS, &b.Mercure.Subscriber.JWKS},
			{&a.Mercure.Subscriber.Issuers, &b.Mercure.Subscriber.Issuers}, {&a.Mercure.Subscriber.Audiences, &b.Mercure.Subscriber.Audiences},
			{&a.TLS.Certs, &b.TLS.Certs}, {&a.TLS.Keys, &b.TLS.Keys}, {&a.TLS.ACME.Domains, &b.TLS.ACME.Domains}, {&a.ListenPlain, &b.ListenPlain}, {&a.OTLP.Headers, &b.OTLP.Headers}} {
			if len(*list[0]) == 0 && len(*list[1]) == 0 {
				*list[0], *list[1] = nil, nil
			}
		}
		for _, list := range [][2]*[]int{{&a.Inherit, &b.Inherit}, {&a.InheritPlain, &b.InheritPlain}, {&a.InheritAdmin, &b.InheritAdmin}} {
			if len(*list[0]) == 0 && len(*list[1]) == 0 {
				*list[0], *list[1] = nil, nil
			}
		}
		if !reflect.DeepEqual(a, b) {
			t.Errorf("printed\n%s\nand read again it is\n%+v, not\n%+v", s.YAML(), b, a)
		}
	}
}

// What one machine prints is good on a smaller one, and means the same there as
// nothing set.
func TestWhatIsPrintedIsGoodOnAnotherMachine(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
	printed := load(t, settings.Input{Flags: map[string][]string{"workers": {"5"}}}).YAML()
	runtime.GOMAXPROCS(1)
	s := load(t, settings.Input{File: file(t, printed)})
	if got, want := s.Config.WithDefaults(), (server.Config{Workers: 5}).WithDefaults(); got.Loop != want.Loop || got.HTTP != want.HTTP || got.Workers != 5 {
		t.Errorf("read on another machine it is\n%+v, want\n%+v:\n%s", got, want, printed)
	}
	for _, want := range []string{"\n# loops: 8 # default", "\n# max-connections: "} {
		if !strings.Contains(printed, want) {
			t.Errorf("lacks %q:\n%s", want, printed)
		}
	}
	// More loops than processors are capped at the start: see server.New.
	load(t, settings.Input{File: file(t, "loops: 64\n")})
}

func TestChangesAndWhichAreLive(t *testing.T) {
	rule := "channels:\n  - match: a\n    history-messages: 5\n"
	old := load(t, settings.Input{File: file(t, "drain: 1s\nworkers: 3\nlisten: [127.0.0.1:1]\n"+rule)})
	next := load(t, settings.Input{File: file(t, "drain: 2s\nworkers: 3\nlisten: [127.0.0.1:2]\nlog-level: debug\n"+rule+"    max-subscribers: 2\n")})
	got := map[string]bool{}
	var names []string
	for _, c := range old.Changes(next) {
		got[c.Name] = c.Live
		if c.Live {
			names = append(names, c.Name)
		}
	}
	if want := map[string]bool{"drain": true, "listen": false, "log-level": true, "channels": true}; !reflect.DeepEqual(got, want) {
		t.Errorf("changes %v, want %v", got, want)
	}
	taken := old.Take(next, names)
	if c := taken.Config; c.Drain != 2*time.Second || c.Listen[0] != "127.0.0.1:1" || c.LogLevel != "debug" || c.Channels[0].MaxSubscribers != 2 {
		t.Errorf("taken: %+v", c)
	}
	if left := taken.Changes(next); len(left) != 1 || left[0].Name != "listen" {
		t.Errorf("what is left: %v", left)
	}
	history := load(t, settings.Input{File: file(t, "channels:\n  - match: a\n    history-messages: 6\n")})
	for _, c := range old.Changes(history) {
		if c.Name == "channels" && c.Live {
			t.Error("another history is live")
		}
	}
}

func TestPrintedValuesSayWhereTheyCameFrom(t *testing.T) {
	s := load(t, settings.Input{Environment: []string{"PEAL_DRAIN=90s"}})
	for _, want := range []string{"\ndrain: 1m30s # from PEAL_DRAIN\n", "\nmessage-bytes: 64KiB # default\n", "\nlisten: [] # default: 127.0.0.1:8080"} {
		if !strings.Contains(s.YAML(), want) {
			t.Errorf("lacks %q:\n%s", want, s.YAML())
		}
	}
}

func TestOriginsAndHostsAreJudgedAtTheStart(t *testing.T) {
	_, err := settings.Load(settings.Input{Flags: map[string][]string{
		"allow-origin": {"https://app.example", "*", "https://app.example/", "app.example"}, "admin-host": {"peal.internal", "peal:8081"},
	}})
	for _, want := range []string{`allow-origin "*"`, `allow-origin "https://app.example/"`, `allow-origin "app.example"`, `admin-host "peal:8081"`, "use --open"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
	if _, err := settings.Load(settings.Input{Flags: map[string][]string{"allow-origin": {"https://app.example"}, "admin-host": {"peal.internal"}}}); err != nil {
		t.Error(err)
	}
}

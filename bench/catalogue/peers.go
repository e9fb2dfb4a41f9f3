package catalogue

import (
	"context"
	_ "embed" // for the peers' sources
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"peal/bench"
	"peal/bench/record"
)

// centrifugeSource is a server in so many lines on the library that Centrifugo is
// made of; it is built outside the module, which has no use for the library.
//
//go:embed centrifuge.txt
var centrifugeSource string

// centrifugeVersion is that of github.com/centrifugal/centrifuge.
const centrifugeVersion = "v0.40.1"

//go:embed nchan.conf
var nchanConfiguration string

// centrifuge builds the server in a module of its own.
func (k *Kit) centrifuge(ctx context.Context) (s server, err error) {
	dir := filepath.Join(k.Dir, "centrifuge")
	binary := filepath.Join(k.Dir, "centrifuge-server")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return s, err
	}
	for name, text := range map[string]string{"main.go": centrifugeSource, "go.mod": "module centrifuge-server\n\ngo 1.26\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return s, err
		}
	}
	for _, args := range [][]string{{"go", "get", "github.com/centrifugal/centrifuge@" + centrifugeVersion}, {"go", "build", "-o", binary, "."}} {
		k.say("$ %s", k.shown(args))
		c := exec.CommandContext(ctx, args[0], args[1:]...)
		c.Dir = dir
		if _, err := c.Output(); err != nil {
			return s, fmt.Errorf("%s %s failed", args[0], args[1]) // its words name places
		}
	}
	return server{record.Server{Name: "centrifuge", Version: "library " + centrifugeVersion, Command: "GOMAXPROCS=1 centrifuge-server {port}",
		Configuration: centrifugeSource},
		&bench.Command{Label: "centrifuge", Args: []string{"env", "GOMAXPROCS=1", binary, "{port}"}}, 1}, nil
}

// nchan takes the installed nginx, and the module that is installed, or else that
// of Debian's package, unpacked and not installed.
func (k *Kit) nchan(ctx context.Context) (s server, err error) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		return s, fmt.Errorf("there is no nginx")
	}
	const module = "usr/lib/nginx/modules/ngx_nchan_module.so"
	at := "/" + module
	if _, err := os.Stat(at); err != nil {
		if err := k.unpack(ctx, "libnginx-mod-nchan"); err != nil {
			return s, err
		}
		at = filepath.Join(k.Dir, "unpacked", module)
	}
	version, err := exec.CommandContext(ctx, nginx, "-v").CombinedOutput()
	if err != nil {
		return s, fmt.Errorf("nginx -v failed")
	}
	// The port is known when it is started; exec keeps the process. What launches
	// replaces every {port}, so the pattern must not read so.
	file := filepath.Join(k.Dir, "nchan.conf")
	real := strings.NewReplacer("modules/ngx_nchan_module.so", at, "{dir}", k.Dir).Replace(nchanConfiguration)
	if err := os.WriteFile(file, []byte(real), 0o644); err != nil {
		return s, err
	}
	start := fmt.Sprintf("sed 's/{[p]ort}/{port}/' '%s' > '%s'.{port} && exec '%s' -e stderr -p '%s' -c '%s'.{port}", file, file, nginx, k.Dir, file)
	return server{record.Server{Name: "nchan", Version: nchanVersion(ctx) + ", " + strings.TrimSpace(string(version)), Command: "nginx -c nchan.conf", Configuration: nchanConfiguration},
		&bench.Command{Label: "nchan", Args: []string{"sh", "-c", start}}, 1}, nil
}

// nchanVersion is that of Debian's package.
func nchanVersion(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "apt-cache", "show", "--no-all-versions", "libnginx-mod-nchan").Output()
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(out)) {
		if v, ok := strings.CutPrefix(line, "Version: "); ok {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

// unpack gets a Debian package and unpacks it into the folder unpacked.
func (k *Kit) unpack(ctx context.Context, name string) error {
	for _, script := range []string{"apt-get download -q " + name, "dpkg-deb -x " + name + "_*.deb unpacked"} {
		k.say("$ %s", script)
		c := exec.CommandContext(ctx, "sh", "-c", script)
		c.Dir = k.Dir
		if err := c.Run(); err != nil {
			verb, _, _ := strings.Cut(script, " ")
			return fmt.Errorf("%s of %s failed", verb, name)
		}
	}
	return nil
}

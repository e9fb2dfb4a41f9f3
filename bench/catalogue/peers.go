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

// centrifugoConfiguration retains as much as Peal does by default.
//
//go:embed centrifugo.json
var centrifugoConfiguration string

// mercureSource is a small hub that uses Mercure's library, because its own server
// is a plugin of a web server.
//
//go:embed mercure.txt
var mercureSource string

// mercureToken permits publishing: {"mercure":{"publish":["*"]}}, HS256, with the key
// in mercureSource.
const mercureToken = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJtZXJjdXJlIjp7InB1Ymxpc2giOlsiKiJdfX0.ETR59vI9hxYRinmwftJsGtDmEYdchN8uSx5q48pIiFE"

//go:embed nchan.conf
var nchanConfiguration string

// centrifugo builds Centrifugo.
func (k *Kit) centrifugo(ctx context.Context) (s server, err error) {
	const module, version = "github.com/centrifugal/centrifugo/v6", "v6.9.1"
	binary, err := k.build(ctx, "centrifugo", module, version, "", module)
	if err != nil {
		return s, err
	}
	file := filepath.Join(k.Dir, "centrifugo.json")
	if err := os.WriteFile(file, []byte(centrifugoConfiguration), 0o644); err != nil {
		return s, err
	}
	variables := []string{"GOMAXPROCS=1", "CENTRIFUGO_HTTP_SERVER_PORT={port}"}
	return server{record.Server{Name: "centrifugo", Version: version, Command: strings.Join(variables, " ") + " centrifugo -c centrifugo.json", Configuration: centrifugoConfiguration},
		&bench.Command{Label: "centrifugo", Args: append(append([]string{"env"}, variables...), binary, "-c", file)}, 1}, nil
}

// mercure builds the hub of mercureSource.
func (k *Kit) mercure(ctx context.Context) (s server, err error) {
	const version = "v0.24.2"
	binary, err := k.build(ctx, "mercure-server", "github.com/dunglas/mercure", version, mercureSource, ".")
	if err != nil {
		return s, err
	}
	return server{record.Server{Name: "mercure", Version: "library " + version, Command: "GOMAXPROCS=1 mercure-server {port} FOLDER", Configuration: mercureSource},
		&bench.Command{Label: "mercure", Args: []string{"env", "GOMAXPROCS=1", binary, "{port}", k.Dir}}, 1}, nil
}

// build builds a package of a module, or a program of the given source that uses
// the module. It does so in a separate module, so that Peal's does not require it.
func (k *Kit) build(ctx context.Context, name, module, version, source, pkg string) (binary string, err error) {
	dir := filepath.Join(k.Dir, name+"-module")
	binary = filepath.Join(k.Dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	files := map[string]string{"go.mod": fmt.Sprintf("module %s-module\n\ngo 1.26\n\nrequire %s %s\n", name, module, version)}
	if source != "" {
		files["main.go"] = source
	}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	args := []string{"go", "build", "-mod=mod", "-o", binary, pkg}
	k.say("$ %s # of %s %s", k.shown(args), module, version)
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		k.say("%s", out)
		return "", fmt.Errorf("%s %s could not be built here", module, version) // the output of go contains paths of this machine
	}
	return binary, nil
}

// nchan uses the installed nginx with the installed module, or else with the module
// of Debian's package, which is unpacked and not installed.
func (k *Kit) nchan(ctx context.Context) (s server, err error) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		return s, fmt.Errorf("nginx is not installed")
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
	// The port is known only at the start. Launch replaces every {port}, so the
	// pattern of sed must not contain one. exec keeps the process.
	file := filepath.Join(k.Dir, "nchan.conf")
	real := strings.NewReplacer("modules/ngx_nchan_module.so", at, "{dir}", k.Dir).Replace(nchanConfiguration)
	if err := os.WriteFile(file, []byte(real), 0o644); err != nil {
		return s, err
	}
	start := fmt.Sprintf("sed 's/{[p]ort}/{port}/' '%s' > '%s'.{port} && exec '%s' -e stderr -p '%s' -c '%s'.{port}", file, file, nginx, k.Dir, file)
	return server{record.Server{Name: "nchan", Version: nchanVersion(ctx) + ", " + strings.TrimSpace(string(version)), Command: "nginx -c nchan.conf", Configuration: nchanConfiguration},
		&bench.Command{Label: "nchan", Args: []string{"sh", "-c", start}}, 1}, nil
}

// nchanVersion returns the version of Debian's package.
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

// unpack downloads a Debian package and unpacks it into the folder "unpacked".
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

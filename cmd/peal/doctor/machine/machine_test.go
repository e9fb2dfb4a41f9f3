package machine_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"peal/cmd/peal/doctor"
	"peal/cmd/peal/doctor/machine"
	"peal/loop"
	"peal/scripts/leak"
	"peal/server"
)

func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }

// planted is a machine whose facts a test changes.
type planted struct {
	machine.Machine
	files fstest.MapFS
}

func (p *planted) write(name, text string) {
	p.files[name] = &fstest.MapFile{Data: []byte(text + "\n")}
}
func (p *planted) mode(name string, mode fs.FileMode) {
	p.files[name] = &fstest.MapFile{Mode: mode}
}

// healthy is a machine without a fault for its configuration.
func healthy() *planted {
	c := server.Config{Engine: "file:/var/lib/peal", Listen: []string{"0.0.0.0:443", "unix:/run/peal/peal.sock"}, Auth: server.AuthToken, TrustedProxies: []string{"10.0.0.0/8", "loopback"}, MemoryLimit: 4 << 30}
	c.Token.SecretFile = "/etc/peal/token.secret"
	c.TLS.Certs, c.TLS.Keys = []string{"/etc/peal/push.pem"}, []string{"/etc/peal/push.key"}
	c.Loop.MaxConnections, c.Loop.Loops = 20_000, 2
	p := &planted{files: fstest.MapFS{}}
	p.Files, p.PID, p.Dir, p.Config = p.files, "self", "/srv", c.WithDefaults()
	for name, text := range map[string]string{
		"proc/self/limits": "Limit                     Soft Limit           Hard Limit           Units\nMax processes             100000               100000               processes\nMax open files            1024                 1048576              files",
		"proc/self/status": "Name: peal\nCapEff:	0000000000000400",
		"proc/sys/net/ipv4/ip_unprivileged_port_start": "1024",
		"proc/self/cgroup":                                                "0::/system.slice/peal.service",
		"proc/sys/fs/file-max":                                            "9223372036854775807",
		"proc/sys/fs/nr_open":                                             "1048576",
		"proc/sys/net/core/somaxconn":                                     "4096",
		"proc/sys/net/core/netdev_max_backlog":                            "1000",
		"proc/sys/net/ipv4/tcp_max_syn_backlog":                           "1024",
		"proc/sys/net/ipv4/tcp_mem":                                       "92000\t123000\t184000",
		"proc/sys/net/ipv4/tcp_max_orphans":                               "65536",
		"proc/sys/net/ipv4/tcp_rmem":                                      "4096\t131072\t6291456",
		"proc/sys/net/ipv4/tcp_wmem":                                      "4096\t16384\t4194304",
		"proc/sys/net/ipv4/ip_local_port_range":                           "32768\t60999",
		"proc/sys/net/ipv4/ip_local_reserved_ports":                       "",
		"proc/sys/net/ipv4/tcp_tw_reuse":                                  "2",
		"proc/sys/net/ipv4/conf/all/rp_filter":                            "0",
		"proc/sys/net/ipv4/conf/default/rp_filter":                        "2",
		"proc/sys/net/ipv4/conf/lo/rp_filter":                             "0",
		"proc/sys/net/ipv4/conf/eth0/rp_filter":                           "2",
		"proc/sys/net/ipv4/conf/eth1/rp_filter":                           "0",
		"proc/sys/net/netfilter/nf_conntrack_max":                         "262144",
		"proc/sys/net/netfilter/nf_conntrack_count":                       "120",
		"proc/net/netstat":                                                "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 3 0 0\nIpExt: InNoRoutes\nIpExt: 7",
		"proc/meminfo":                                                    "MemTotal:       8000000 kB\nMemAvailable:    6000000 kB\nSwapTotal:       1000000 kB\nSwapFree:         990000 kB\nHugePages_Total:       0",
		"sys/fs/cgroup/system.slice/peal.service/pids.max":                "4096",
		"sys/fs/cgroup/system.slice/peal.service/memory.max":              "max",
		"sys/fs/cgroup/system.slice/memory.max":                           "max",
		"sys/kernel/mm/transparent_hugepage/enabled":                      "always [madvise] never",
		"sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc",
	} {
		p.write(name, text)
	}
	p.files["etc/peal/push.pem"] = certificate(300 * 24 * time.Hour)
	p.files["etc/peal/push.key"] = &fstest.MapFile{Mode: 0o600}
	p.files["etc/peal/token.secret"] = &fstest.MapFile{Mode: 0o600}
	p.mode("var/lib/peal", fs.ModeDir|0o750)
	p.mode("run/peal", fs.ModeDir|0o755)
	p.Usage = usage(machine.Usage{Bytes: 100 << 30, FreeBytes: 50 << 30, Inodes: 1 << 20, FreeInodes: 1 << 19})
	p.Sync = func(string) (time.Duration, error) { return time.Millisecond, nil }
	p.Clock = func() (machine.Clock, error) {
		return machine.Clock{Synchronised: true, Error: 3 * time.Millisecond}, nil
	}
	return p
}

// certificate is a file with one that ends after that time.
func certificate(left time.Duration) *fstest.MapFile {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(left)}
	b, err := x509.CreateCertificate(nil, c, c, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return &fstest.MapFile{Mode: 0o644, Data: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b})}
}

func usage(u machine.Usage) func(string) (machine.Usage, error) {
	return func(string) (machine.Usage, error) { return u, nil }
}

func TestAHealthyMachineHasNoFault(t *testing.T) {
	for _, f := range healthy().Check() {
		if f.Status != doctor.OK {
			t.Errorf("%+v", f)
		}
	}
}

// Each fault is found by its check, and by no other; the finding says what is there,
// why it matters and what to do.
func TestEachPlantedFaultIsFound(t *testing.T) {
	margin := loop.DescriptorMargin(2)
	for _, c := range []struct {
		name   string
		plant  func(p *planted)
		check  string
		status doctor.Status
		value  string // a part of it
		fix    string // a part of it
	}{
		{"few descriptors", func(p *planted) {
			p.write("proc/self/limits", "Max open files            1024                 4096                 files")
		},
			"descriptors", doctor.Failure, fmt.Sprint("4096: max-connections 20000 needs ", 20_000+margin), fmt.Sprint("LimitNOFILE=", 20_000+margin)},
		{"few descriptors, no number of connections", func(p *planted) {
			p.write("proc/self/limits", "Max open files            1024                 1024                 files")
			p.Config.Loop.MaxConnections = 0
		}, "descriptors", doctor.Warning, fmt.Sprintf("leaves %d connections", 1024-margin), "ulimit -Hn"},
		{"limits of another process", func(p *planted) {
			p.PID = "77"
			p.write("proc/77/limits", "Max open files            1024                 2048                 files")
		}, "descriptors", doctor.Failure, "process 77 is 2048", "LimitNOFILE="},
		{"file-max", func(p *planted) { p.write("proc/sys/fs/file-max", "10000") }, "file-max", doctor.Failure, "10000", "sysctl -w fs.file-max="},
		{"nr_open", func(p *planted) { p.write("proc/sys/fs/nr_open", "10000") }, "nr-open", doctor.Failure, "10000", "sysctl -w fs.nr_open="},
		{"somaxconn", func(p *planted) { p.write("proc/sys/net/core/somaxconn", "128") }, "somaxconn", doctor.Warning, "128: at least 1024", "sysctl -w net.core.somaxconn='65535'"},
		{"netdev backlog", func(p *planted) { p.write("proc/sys/net/core/netdev_max_backlog", "300") }, "netdev-backlog", doctor.Warning, "300", "sysctl -w net.core.netdev_max_backlog="},
		{"SYN backlog", func(p *planted) { p.write("proc/sys/net/ipv4/tcp_max_syn_backlog", "128") }, "syn-backlog", doctor.Warning, "128", "sysctl -w net.ipv4.tcp_max_syn_backlog="},
		{"tcp_mem", func(p *planted) { p.write("proc/sys/net/ipv4/tcp_mem", "3000 4000 6000") }, "tcp-mem", doctor.Warning, "3000 4000 6000", "tcp_mem='10000 20000 40000'"},
		{"orphans", func(p *planted) { p.write("proc/sys/net/ipv4/tcp_max_orphans", "4096") }, "tcp-orphans", doctor.Warning, "4096", "tcp_max_orphans='65536'"},
		{"tcp_rmem", func(p *planted) { p.write("proc/sys/net/ipv4/tcp_rmem", "4096 8192 16384") }, "tcp-rmem", doctor.Warning, "16384", "tcp_rmem="},
		{"tcp_wmem", func(p *planted) { p.write("proc/sys/net/ipv4/tcp_wmem", "4096 8192 16384") }, "tcp-wmem", doctor.Warning, "16384", "tcp_wmem="},
		{"backlog overflowed", func(p *planted) {
			p.write("proc/net/netstat", "TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 0 31")
		}, "backlog", doctor.Warning, "31", "somaxconn"},
		{"few ports", func(p *planted) { p.write("proc/sys/net/ipv4/ip_local_port_range", "50000 60000") }, "ephemeral-ports", doctor.Warning, "10001 ports", "ip_local_port_range='10240 65535'"},
		{"a listener's port is an ephemeral one", func(p *planted) {
			p.Config.Listen = append(p.Config.Listen, "40000")
			p.write("proc/sys/net/ipv4/ip_local_reserved_ports", "35000")
		}, "listen-port", doctor.Warning, "port 40000", "ip_local_reserved_ports='35000,40000'"},
		{"port 443 without the capability", func(p *planted) { p.write("proc/self/status", "CapEff:	0000000000000000") }, "low-ports", doctor.Failure, "443: below 1024", "CAP_NET_BIND_SERVICE"},
		{"key that others read", func(p *planted) { p.mode("etc/peal/push.key", 0o644) }, "secret-file", doctor.Failure, "push.key has mode 0644", "chmod 600 /etc/peal/push.key"},
		{"certificate that ends soon", func(p *planted) { p.files["etc/peal/push.pem"] = certificate(100 * time.Hour) }, "certificate", doctor.Warning, "ends in 4 days", "certbot"},
		{"certificate that has ended", func(p *planted) { p.files["etc/peal/push.pem"] = certificate(-time.Hour) }, "certificate", doctor.Failure, "has ended", "renew"},
		{"no certificate in the file", func(p *planted) { p.write("etc/peal/push.pem", "nothing") }, "certificate", doctor.Failure, "no certificate in PEM", "in PEM"},
		{"tw_reuse", func(p *planted) { p.write("proc/sys/net/ipv4/tcp_tw_reuse", "0") }, "tw-reuse", doctor.Warning, "is 0", "tcp_tw_reuse='2'"},
		{"small conntrack", func(p *planted) { p.write("proc/sys/net/netfilter/nf_conntrack_max", "16384") }, "conntrack", doctor.Failure, "need 25000", "nf_conntrack_max='50000'"},
		{"full conntrack", func(p *planted) { p.write("proc/sys/net/netfilter/nf_conntrack_count", "262000") }, "conntrack", doctor.Failure, "262000 in use", "nf_conntrack_max="},
		{"rp_filter", func(p *planted) { p.write("proc/sys/net/ipv4/conf/eth1/rp_filter", "1") }, "rp-filter", doctor.Warning, "strict on eth1", "rp_filter='2'"},
		{"little memory", func(p *planted) {
			p.write("proc/meminfo", "MemAvailable: 200000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB")
		}, "memory", doctor.Failure, "196 MiB available", "--max-connections"},
		{"tight memory", func(p *planted) {
			p.write("proc/meminfo", "MemAvailable: 660000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB")
		}, "memory", doctor.Warning, "645 MiB available", "--max-connections"},
		{"cgroup memory", func(p *planted) {
			p.Config.MemoryLimit = 100 << 20
			p.write("sys/fs/cgroup/system.slice/memory.max", "134217728")
		}, "memory", doctor.Failure, "128 MiB allowed by the cgroup", "MemoryMax="},
		{"cgroup memory, version 1", func(p *planted) {
			p.Config.MemoryLimit = 100 << 20
			p.write("proc/self/cgroup", "3:memory:/docker/a\n2:pids:/docker/a\n1:name=systemd:/x")
			p.write("sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes", "134217728")
			p.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712")
		}, "memory", doctor.Failure, "128 MiB allowed by the cgroup", "MemoryMax="},
		{"memory-limit above the memory", func(p *planted) { p.Config.MemoryLimit = 9 << 30 }, "memory", doctor.Failure, "memory-limit is 9216 MiB", "--memory-limit 7031MiB"},
		{"everybody is a proxy", func(p *planted) { p.Config.TrustedProxies = []string{"loopback", "0.0.0.0/0"} }, "trusted-proxies", doctor.Failure, "0.0.0.0/0", "docs/proxies.md"},
		{"everybody is a proxy, IPv6", func(p *planted) { p.Config.TrustedProxies = []string{"::/0"} }, "trusted-proxies", doctor.Failure, "::/0", "docs/proxies.md"},
		{"cgroup threads", func(p *planted) { p.write("sys/fs/cgroup/system.slice/peal.service/pids.max", "32") }, "threads", doctor.Failure, "allows 32", "TasksMax="},
		{"cgroup threads, few", func(p *planted) { p.write("sys/fs/cgroup/system.slice/peal.service/pids.max", "128") }, "threads", doctor.Warning, "allows 128", "TasksMax="},
		{"swapping", func(p *planted) {
			p.write("proc/meminfo", "MemAvailable: 6000000 kB\nSwapTotal: 1000000 kB\nSwapFree: 400000 kB")
		}, "swap", doctor.Warning, "586 MiB of 977 MiB", "vm.swappiness='1'"},
		{"huge pages", func(p *planted) { p.write("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never") }, "huge-pages", doctor.Warning, "always", "echo madvise >"},
		{"clock", func(p *planted) { p.Clock = func() (machine.Clock, error) { return machine.Clock{}, nil } }, "clock", doctor.Warning, "not synchronised", "set-ntp"},
		{"clock that drifts", func(p *planted) {
			p.Clock = func() (machine.Clock, error) { return machine.Clock{Synchronised: true, Error: 16 * time.Second}, nil }
		}, "clock", doctor.Warning, "off by 16s", "chronyc"},
		{"clock source", func(p *planted) {
			p.write("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet")
		}, "clock-source", doctor.Warning, "hpet", "tsc"},
		{"disk on a network", func(p *planted) {
			p.Usage = usage(machine.Usage{Type: "nfs", Network: true, Bytes: 1 << 40, FreeBytes: 1 << 39})
		}, "disk", doctor.Warning, "nfs", "--log file:DIR"},
		{"disk in memory", func(p *planted) {
			p.Usage = usage(machine.Usage{Type: "tmpfs", Ephemeral: true, Bytes: 1 << 40, FreeBytes: 1 << 39})
		}, "disk", doctor.Warning, "tmpfs", "--log file:DIR"},
		{"read-only disk", func(p *planted) { p.Usage = usage(machine.Usage{ReadOnly: true, Bytes: 1 << 40, FreeBytes: 1 << 39}) }, "disk", doctor.Failure, "read-only", "remount"},
		{"no directory", func(p *planted) {
			p.Config.Engine = "file:/etc/peal/token.secret/log"
		}, "disk", doctor.Failure, "token.secret is no directory", "install -d"},
		{"full disk", func(p *planted) {
			p.Usage = usage(machine.Usage{Bytes: 100 << 30, FreeBytes: 20 << 20, Inodes: 1 << 20, FreeInodes: 1 << 19})
		}, "disk-space", doctor.Failure, "20 MiB of", "--log-bytes"},
		{"small disk", func(p *planted) {
			p.Usage = usage(machine.Usage{Bytes: 100 << 30, FreeBytes: 500 << 20, Inodes: 1 << 20, FreeInodes: 1 << 19})
		}, "disk-space", doctor.Warning, "500 MiB of", "--log-bytes 250MiB"},
		{"no inodes", func(p *planted) {
			p.Usage = usage(machine.Usage{Bytes: 100 << 30, FreeBytes: 50 << 30, Inodes: 1 << 20, FreeInodes: 3})
		}, "disk-inodes", doctor.Warning, "3 of", "df -i"},
		{"slow disk", func(p *planted) {
			p.Config.File.Fsync = "always"
			p.Sync = func(string) (time.Duration, error) { return 35 * time.Millisecond, nil }
		}, "disk-sync", doctor.Warning, "35ms", "--fsync interval"},
		{"very slow disk", func(p *planted) { p.Sync = func(string) (time.Duration, error) { return time.Second, nil } }, "disk-sync", doctor.Warning, "1s", "write cache"},
		{"secret that others read", func(p *planted) { p.mode("etc/peal/token.secret", 0o644) }, "secret-file", doctor.Failure, "0644", "chmod 600 /etc/peal/token.secret"},
		{"configuration with a secret that others read", func(p *planted) {
			p.Config.Token.Secrets, p.Sources = []string{"x"}, []string{"peal.yaml"}
			p.mode("srv/peal.yaml", 0o604)
		}, "secret-file", doctor.Failure, "/srv/peal.yaml has mode 0604", "chmod 600 /srv/peal.yaml"},
		{"no secret", func(p *planted) { delete(p.files, "etc/peal/token.secret") }, "secret-file", doctor.Failure, "does not exist", "docs/tokens.md"},
		{"log that others write", func(p *planted) { p.mode("var/lib/peal", fs.ModeDir|0o777) }, "log-directory", doctor.Failure, "0777", "chmod 750"},
		{"log that others list", func(p *planted) { p.mode("var/lib/peal", fs.ModeDir|0o755) }, "log-directory", doctor.Warning, "0755", "chmod 750"},
		{"keys of ACME that others see", func(p *planted) {
			p.Config.TLS.ACME.Domains, p.Config.TLS.ACME.Dir = []string{"push.example"}, "/var/lib/peal-acme"
			p.mode("var/lib/peal-acme", fs.ModeDir|0o755)
		}, "acme-directory", doctor.Failure, "0755", "chmod 700 /var/lib/peal-acme"},
		{"no directory for the socket", func(p *planted) { delete(p.files, "run/peal") }, "socket-directory", doctor.Failure, "does not exist", "RuntimeDirectory=peal"},
		{"socket in a directory of all", func(p *planted) { p.mode("run/peal", fs.ModeDir|0o777) }, "socket-directory", doctor.Warning, "0777", "chmod 755"},
		{"socket that nobody reaches", func(p *planted) { p.mode("run/peal", fs.ModeDir|0o700) }, "socket-directory", doctor.Warning, "0700", "chmod 755"},
	} {
		p := healthy()
		c.plant(p)
		found := false
		for _, f := range p.Check() {
			text := fmt.Sprintf("%s: %+v", c.name, f)
			switch {
			case f.Status == doctor.OK, f.Status == doctor.Skipped && f.Check != c.check:
			case f.Check != c.check:
				t.Errorf("also found: %s", text)
			default:
				found = true
				if f.Status != c.status || !strings.Contains(f.Value, c.value) || !strings.Contains(strings.Join(f.Fix, "\n"), c.fix) || f.Why == "" {
					t.Errorf("%s, want %s, %q, %q", text, c.status, c.value, c.fix)
				}
			}
		}
		if !found {
			t.Errorf("%s is not found", c.name)
		}
	}
}

// What cannot be read is skipped with the reason, and is no fault.
func TestAMachineThatShowsNothingIsNotFaulty(t *testing.T) {
	unreadable := errors.New("planted: not readable")
	p := healthy()
	p.Files = fstest.MapFS{}
	p.Config.Engine, p.Config.Token.SecretFile, p.Config.Listen, p.Config.TLS = "memory", "", nil, server.TLS{}
	p.Clock = func() (machine.Clock, error) { return machine.Clock{}, unreadable }
	skipped := 0
	for _, f := range p.Check() {
		switch {
		case f.Status == doctor.Skipped && f.Value != "":
			skipped++
		case f.Status != doctor.OK:
			t.Errorf("%+v", f)
		}
	}
	if skipped < 12 {
		t.Errorf("%d checks are skipped", skipped)
	}

	p = healthy()
	p.Usage = func(string) (machine.Usage, error) { return machine.Usage{}, unreadable }
	for _, f := range p.Check() {
		if f.Check == "disk" && (f.Status != doctor.Skipped || !strings.Contains(f.Value, "planted")) {
			t.Errorf("%+v", f)
		}
	}
}

func TestManyConnectionsNeedMore(t *testing.T) {
	p := healthy()
	p.Config.Loop.MaxConnections = 1_000_000
	p.write("proc/self/limits", "Max open files            2000000                 2000000                 files")
	want := map[string]doctor.Status{"netdev-backlog": doctor.Warning, "syn-backlog": doctor.Warning, "tcp-mem": doctor.Warning, "tcp-orphans": doctor.Warning, "conntrack": doctor.Failure, "memory": doctor.Failure}
	for _, f := range p.Check() {
		if w, ok := want[f.Check]; ok && f.Status != w || !ok && f.Status != doctor.OK {
			t.Errorf("%+v, want %s", f, w)
		}
	}
}

// The machine of the test itself can be read; whether it has faults is its own affair.
func TestThisMachineCanBeChecked(t *testing.T) {
	dir := t.TempDir()
	c := server.Config{Engine: "file:" + dir}.WithDefaults()
	var checks []string
	for _, f := range machine.Open("/", "self", c, nil).Check() {
		checks = append(checks, f.Check)
		if f.Check == "descriptors" && f.Status == doctor.Skipped || f.Check == "disk-sync" && f.Status == doctor.Skipped {
			t.Errorf("%+v", f)
		}
	}
	if len(checks) < 20 {
		t.Errorf("only %q", checks)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left behind, %v", left, err)
	}
}

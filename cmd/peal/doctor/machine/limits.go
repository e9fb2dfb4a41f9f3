package machine

import (
	"fmt"
	"strconv"
	"strings"

	"peal/cmd/peal/doctor"
)

// openFiles is the limit of open files of the process. Go raises the soft limit to the
// hard one at the start, so the hard one counts.
func (m *Machine) openFiles() (int, error) {
	name := "proc/" + m.PID + "/limits"
	text, err := m.read(name)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, "Max open files")
		words := strings.Fields(rest)
		if !ok || len(words) < 2 {
			continue
		}
		if words[1] == "unlimited" {
			return 1 << 30, nil
		}
		n, err := strconv.Atoi(words[1])
		if err != nil {
			return 0, fmt.Errorf("/%s: the limit of open files is %q", name, words[1])
		}
		return min(n, 1<<30), nil
	}
	return 0, fmt.Errorf("/%s has no limit of open files", name)
}

// fewConnections is from where on a limit that nobody chose is worth a warning: 1,024
// descriptors are the default of many shells.
const fewConnections = 5_000

func (m *Machine) descriptors() []doctor.Finding {
	const check = "descriptors"
	limit, err := m.openFiles()
	if err != nil {
		return one(doctor.Skip(check, "%v", err))
	}
	whose := "this shell"
	if m.PID != "self" {
		whose = "process " + m.PID
	}
	most, margin := m.Config.Loop.MaxConnections, m.margin()
	raise := func(to int) []string {
		return []string{fmt.Sprintf("ulimit -Hn %d  (as root, then start peal in that shell)", to), fmt.Sprintf("LimitNOFILE=%d  (in the [Service] section of the systemd unit, then systemctl daemon-reload and restart)", to)}
	}
	switch {
	case most <= 0 && limit-margin < fewConnections:
		return one(doctor.Warn(check, fmt.Sprintf("the limit of %s is %d: it leaves %d connections", whose, limit, max(0, limit-margin)),
			"each connection needs a descriptor; beyond the limit clients get 503", raise(100_000+margin)...))
	case most <= 0:
		return one(doctor.Fine(check, "the limit of %s is %d: it leaves %d connections", whose, limit, limit-margin))
	case limit < most+margin:
		return one(doctor.Fail(check, fmt.Sprintf("the limit of %s is %d: max-connections %d needs %d", whose, limit, most, most+margin),
			"the server does not start with more connections than descriptors", raise(most+margin)...))
	}
	return one(doctor.Fine(check, "the limit of %s is %d: max-connections %d needs %d", whose, limit, most, most+margin))
}

// files checks the limits of the whole machine for open files.
func (m *Machine) files() []doctor.Finding {
	need := int64(m.connections() + m.margin())
	var all []doctor.Finding
	for _, c := range []struct{ check, key, why string }{
		{"file-max", "fs.file-max", "the kernel opens no more files for all processes together; accept fails beyond it"},
		{"nr-open", "fs.nr_open", "no limit of open files of a process (ulimit -n, LimitNOFILE=) can be above it"},
	} {
		n, err := m.numbers("proc/sys/" + strings.ReplaceAll(c.key, ".", "/"))
		switch {
		case err != nil:
			all = append(all, doctor.Skip(c.check, "%v", err))
		case n[0] < need:
			all = append(all, doctor.Fail(c.check, fmt.Sprintf("%s is %d: %d connections need %d", c.key, n[0], m.connections(), need), c.why, setSysctl(c.key, fmt.Sprint(max(2*need, 1<<20)))...))
		default:
			all = append(all, doctor.Fine(c.check, "%s is %d", c.key, n[0]))
		}
	}
	return all
}

// setSysctl are the commands that set a kernel setting now and at each start.
func setSysctl(key, value string) []string {
	return []string{fmt.Sprintf("sysctl -w %s='%s' && echo '%s = %s' >> /etc/sysctl.d/90-peal.conf", key, value, key, value)}
}

package memory

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLevelsGoDownLaterThanUp(t *testing.T) {
	w := NewWatch(1000)
	for i, c := range []struct {
		resident int
		want     Level
	}{
		{0, Normal}, {899, Normal}, {900, High}, {850, High}, {800, High}, {799, Normal}, {899, Normal},
		{999, High}, {1000, Over}, {5000, Over}, {900, Over}, {899, High}, {800, High}, {1000, Over}, {10, Normal},
	} {
		if got := w.Step(c.resident); got != c.want {
			t.Errorf("step %d: with %d of 1000 the level is %d, want %d", i, c.resident, got, c.want)
		}
	}
	if n := w.Target(); n != 850 {
		t.Errorf("target %d, want less than the high mark", n)
	}
}

func TestResidentIsPlausible(t *testing.T) {
	n, err := Resident()
	if err != nil || n < 1<<20 || n > 1<<40 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestLimitOfTheCgroup(t *testing.T) {
	check := func(name string, files map[string]string, want int, ok bool) {
		t.Helper()
		root := t.TempDir()
		for file, text := range files {
			file = filepath.Join(root, file)
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got, has := cgroupLimit(root); has != ok || ok && got != want {
			t.Errorf("%s: %d, %v, want %d, %v", name, got, has, want, ok)
		}
	}
	const self = "proc/self/cgroup"
	check("no cgroups", nil, 0, false)
	check("v2 in a container", map[string]string{self: "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}, 512<<20, true)
	check("v2 without a limit", map[string]string{self: "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, 0, false)
	check("v2, the smaller one above", map[string]string{self: "0::/system.slice/peal.service\n",
		"sys/fs/cgroup/system.slice/peal.service/memory.max": "2000\n", "sys/fs/cgroup/system.slice/memory.max": "1000\n"}, 1000, true)
	check("v1", map[string]string{self: "5:cpu,cpuacct:/x\n4:memory:/docker/1\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "4096\n"}, 4096, true)
	check("v1 without a limit", map[string]string{self: "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0, false)
	check("damaged", map[string]string{self: "what\n0::\n"}, 0, false)
}

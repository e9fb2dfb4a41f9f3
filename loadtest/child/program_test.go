package child

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"peal/scripts/leak"
)

// moodEnv makes the test binary a server. See serve.
const moodEnv = "PEAL_CHILD_TEST"

func TestMain(m *testing.M) {
	if mood := os.Getenv(moodEnv); mood != "" {
		serve(mood, os.Args[1:])
	}
	os.Exit(leak.Main(m))
}

// serve accepts on the addresses, on each only when it has accepted on the one
// before it. In the mood "stubborn" it ignores SIGTERM and has a child of its own
// whose pid it prints; in
// "parent" it starts that one with Start; in "failing" SIGTERM ends it with
// status 3.
func serve(mood string, addrs []string) {
	asked := make(chan os.Signal, 1)
	switch mood {
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		sleeper := exec.Command("sleep", "100")
		if err := sleeper.Start(); err != nil {
			panic(err)
		}
		fmt.Println("sleeper", sleeper.Process.Pid)
	case "parent":
		sleeper, err := Start(exec.Command("sleep", "100"))
		if err != nil {
			panic(err)
		}
		fmt.Println("sleeper", sleeper.PID)
	case "failing":
		signal.Notify(asked, syscall.SIGTERM)
	}
	for _, addr := range addrs {
		l, err := net.Listen("tcp4", addr)
		if err != nil {
			panic(err)
		}
		if _, err := l.Accept(); err != nil {
			panic(err)
		}
	}
	<-asked
	os.Exit(3)
}

// server is the test binary in a mood, on so many free ports.
func server(t *testing.T, mood string, ports int) *Program {
	t.Helper()
	p := &Program{Name: "the server", Args: []string{"env", moodEnv + "=" + mood, os.Args[0]}}
	for range ports {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		p.Addrs = append(p.Addrs, Loopback(port))
	}
	p.Args = append(p.Args, p.Addrs...)
	t.Cleanup(func() { _, _ = p.Stop(syscall.SIGKILL) }) // it may have ended
	return p
}

func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func TestStartWaitsForEveryAddress(t *testing.T) {
	p := server(t, "fair", 3)
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, addr := range p.Addrs {
		conn, err := net.Dial("tcp4", addr)
		if err != nil {
			t.Errorf("Start has returned, and %v", err)
			continue
		}
		conn.Close()
	}
}

func TestProgramStartsAgainOnTheSameAddress(t *testing.T) {
	p := server(t, "fair", 1)
	var before time.Duration
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		pid, used := p.Usage()
		if pid == 0 || used != before || p.Alive() != nil {
			t.Errorf("process %d, %v used before, %v; want a process, and %v", pid, used, p.Alive(), before)
		}
		if err := p.Start(t.Context()); err == nil {
			t.Error("started twice at the same time")
		}
		if killed, err := p.Stop(signal); killed != (signal == syscall.SIGKILL) || err != nil {
			t.Errorf("%v: killed %t, %v", signal, killed, err)
		}
		now, used := p.Usage()
		if now != 0 || used <= before || !gone(pid) || p.Alive() == nil || p.Exit() == nil {
			t.Errorf("%v: process %d, %v used, gone %t, exit %v", signal, now, used, gone(pid), p.Exit())
		}
		before = used
	}
	if _, err := p.Stop(syscall.SIGTERM); !errors.Is(err, ErrEnded) {
		t.Errorf("stopped twice: %v", err)
	}
}

func TestExitTellsTheStatus(t *testing.T) {
	p := server(t, "failing", 1)
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	killed, err := p.Stop(syscall.SIGTERM)
	if killed || err != nil || p.Exit() == nil || p.Exit().Error() != "exit status 3" {
		t.Errorf("killed %t, %v, exit %v", killed, err, p.Exit())
	}
}

func TestProgramThatIgnoresSIGTERMIsKilledWithItsChildren(t *testing.T) {
	var output Tail
	p := server(t, "stubborn", 1)
	p.Grace, p.Output = 50*time.Millisecond, &output
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if killed, err := p.Stop(syscall.SIGTERM); !killed || err != nil {
		t.Errorf("killed %t, %v", killed, err)
	}
	awaitEnd(sleeperOf(t, &output))
}

// sleeperOf returns the pid that serve has printed.
func sleeperOf(t *testing.T, output *Tail) (pid int) {
	t.Helper()
	if _, err := fmt.Sscanf(output.String(), "sleeper %d", &pid); err != nil {
		t.Fatal(err)
	}
	return pid
}

// awaitEnd waits until a process is gone, or only its parent's to reap.
func awaitEnd(pid int) {
	for !gone(pid) && !zombie(pid) {
		time.Sleep(time.Millisecond)
	}
}

func zombie(pid int) bool {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // it may be gone by now
	return len(stat) == 0 || strings.Contains(string(stat), ") Z ")
}

func TestStartTellsWhyAProgramDoesNotStart(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	free := []string{Loopback(port)}
	for _, c := range []struct {
		p    *Program
		want []string
	}{
		{&Program{Args: []string{"sh", "-c", "echo out of order; exit 3"}, Addrs: free}, []string{"out of order", "exit status 3", free[0]}},
		{&Program{Args: []string{"true"}, Addrs: free}, []string{"exit status 0"}},
		{&Program{Args: []string{"sleep", "100"}, Addrs: free, Accept: 50 * time.Millisecond}, []string{"does not accept on " + free[0]}},
		{&Program{Args: []string{"/no/such/program"}, Addrs: free}, []string{"no such file"}},
		{&Program{Args: []string{"true"}, Addrs: []string{taken.Addr().String()}}, []string{"another program accepts"}},
	} {
		c.p.Name = "NAME"
		err := c.p.Start(t.Context())
		for _, want := range append(c.want, "NAME") {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v; want %q in it", c.p.Args, err, want)
			}
		}
		if pid, _ := c.p.Usage(); pid != 0 {
			t.Errorf("%q: process %d was left running", c.p.Args, pid)
		}
	}
}

func TestChildDiesWithItsParent(t *testing.T) {
	var output Tail
	p := server(t, "parent", 1)
	p.Output = &output
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid, _ := p.Usage()
	sleeper := sleeperOf(t, &output)
	if gone(sleeper) || zombie(sleeper) {
		t.Error("the child has ended before its parent")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil { // the parent only, not its group
		t.Fatal(err)
	}
	awaitEnd(sleeper)
}

// TestFreePortsOfTwoProcesses: nobody listens on a port yet when FreePort gives it out,
// so it must not give it out again soon, here or in a process that started after this one.
func TestFreePortsOfTwoProcesses(t *testing.T) {
	given := map[int]bool{}
	for range 60 {
		port, err := FreePort()
		if err != nil || given[port] {
			t.Fatalf("port %d after %v, %v", port, given, err)
		}
		given[port] = true
	}
	owner := map[int]int{}
	for process := 1000; process < 1400; process++ {
		for n := range 64 {
			port := candidate(process, n, 32768-1024)
			if other, taken := owner[port]; taken {
				t.Fatalf("port %d is chosen by the processes %d and %d", port, other, process)
			}
			owner[port] = process
		}
	}
}

func TestPortsReplace(t *testing.T) {
	p, err := FreePorts()
	if err != nil || p.Port == p.Admin {
		t.Fatalf("%+v, %v", p, err)
	}
	if got, want := p.Replace("{port} {admin} {loops}"), fmt.Sprint(p.Port, " ", p.Admin, " {loops}"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

package hostile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// specEnv makes this binary a Neighbour's process. See Main.
const specEnv = "PEAL_HOSTILE_SPEC"

// niceness is how much a Neighbour's process gives way to whoever measures: the
// generators must not be what an honest client waits for.
const niceness = 5

// IsHostile reports that this process was started as a Neighbour: main must then
// call Main before anything else, and exit with its result.
func IsHostile() bool { return os.Getenv(specEnv) != "" }

// Main plays the clients until in ends, which it also does when the process that
// started this one dies, and then writes the tally to out.
func Main(in io.Reader, out io.Writer) int {
	signal.Ignore(os.Interrupt) // Ctrl-C reaches the whole group; the starter still wants the tally
	if err := play(in, out); err != nil {
		fmt.Fprintln(os.Stderr, "hostile clients:", err)
		return 1
	}
	return 0
}

func play(in io.Reader, out io.Writer) error {
	runtime.GOMAXPROCS(1)
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, niceness) // best effort
	var s Spec
	if err := json.Unmarshal([]byte(os.Getenv(specEnv)), &s); err != nil {
		return fmt.Errorf("%s: %w", specEnv, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // ends with in
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	t, err := Run(ctx, s, nil)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(t)
}

// Neighbour is hostile clients in a process of their own.
type Neighbour struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out io.Reader
}

// Start starts this binary again as hostile clients. They end when stopped, and
// with this process.
func Start(ctx context.Context, s Spec) (*Neighbour, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own binary: %w", err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self) // killed, by its pid, when ctx ends
	cmd.Env = append(os.Environ(), specEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	n := &Neighbour{cmd: cmd}
	if n.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if n.out, err = cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start hostile clients: %w", err)
	}
	return n, nil
}

// stopWait is how long hostile clients may take to end.
const stopWait = 10 * time.Second

// Stop ends the clients and returns what they did.
func (n *Neighbour) Stop() (t Tally, err error) {
	_ = n.in.Close() // its end is the sign
	late := time.AfterFunc(stopWait, func() { _ = n.cmd.Process.Kill() })
	defer late.Stop()
	read := json.NewDecoder(n.out).Decode(&t)
	if err := errors.Join(n.cmd.Wait(), read); err != nil {
		return t, fmt.Errorf("hostile clients: %w", err)
	}
	return t, nil
}

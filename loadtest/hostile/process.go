package hostile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"syscall"
	"time"

	"peal/loadtest/child"
)

// niceness lowers the priority of a Neighbour's process: an honest client must not
// wait for the load generators.
const niceness = 5

// Role is that of a Neighbour's process: it plays the clients until its input
// ends, and then writes the tally.
var Role = child.Role{Name: "PEAL_HOSTILE_SPEC", Main: play}

func play(spec string, in io.Reader, out io.Writer) error {
	runtime.GOMAXPROCS(1)
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, niceness) // best effort
	var s Spec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // ends with in
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	t, err := Run(ctx, s)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(t)
}

// Neighbour is hostile clients in a process of their own.
type Neighbour struct{ twin *child.Twin }

// Start starts this binary again as hostile clients. They end when stopped, and
// with this process.
func Start(ctx context.Context, s Spec) (*Neighbour, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	twin, err := Role.Start(ctx, string(text))
	return &Neighbour{twin}, err
}

// stopWait is how long hostile clients may take to end.
const stopWait = 10 * time.Second

// Stop ends the clients and returns what they did.
func (n *Neighbour) Stop() (t Tally, err error) {
	_ = n.twin.In.Close() // its end is the sign
	defer n.twin.Out.Close()
	err = n.twin.Wait(stopWait)
	if err = errors.Join(err, json.NewDecoder(n.twin.Out).Decode(&t)); err != nil {
		return t, fmt.Errorf("hostile clients: %w", err)
	}
	return t, nil
}

package loadtest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// An agent lends its machine to load tests that run elsewhere: each connection gets a
// worker process of its own, whose commands and events then go over it unchanged.
// Before that, both ends prove that they know the same token, which itself is not
// sent:
//
//	agent       {"protocol":1,"nonce":N}
//	controller  {"nonce":M,"proof":HMAC(token, "controller" N M)}
//	agent       {"proof":HMAC(token, "agent" N M)}, or {"error":"…"}
//
// What follows is neither encrypted nor signed: agents belong in a private network.
const agentProtocol = 1

const (
	agentTimeout = 10 * time.Second // for the greeting, on both ends
	agentWorkers = 32               // worker processes at a time
	agentGuests  = 64               // further connections, which have not greeted yet: more must wait
)

// agentLine is a line of the greeting.
type agentLine struct {
	Protocol int    `json:"protocol,omitempty"`
	Nonce    []byte `json:"nonce,omitempty"`
	Proof    []byte `json:"proof,omitempty"`
	Error    string `json:"error,omitempty"`
}

// ReadAgentToken reads a token from a file, without the space around it; "" for no file.
func ReadAgentToken(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	b, err := os.ReadFile(file)
	if b = bytes.TrimSpace(b); err == nil && len(b) == 0 {
		err = fmt.Errorf("%s is empty", file)
	}
	if err != nil {
		return "", fmt.Errorf("--agent-token-file: %w", err)
	}
	return string(b), nil
}

func newNonce() []byte {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // never fails
	return nonce
}

func agentProof(token, role string, nonces ...[]byte) []byte {
	h := hmac.New(sha256.New, []byte(token))
	_, _ = io.WriteString(h, role) // a hash takes everything
	for _, n := range nonces {
		_, _ = fmt.Fprintf(h, " %x", n)
	}
	return h.Sum(nil)
}

// ServeAgent serves on l until ctx ends; it then ends all workers and closes l. say
// gets a line for each connection that begins, ends or is refused.
func ServeAgent(ctx context.Context, l net.Listener, token string, say func(format string, args ...any)) error {
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { _ = l.Close() }) // ends Accept
	room, door := make(chan struct{}, agentWorkers), make(chan struct{}, agentWorkers+agentGuests)
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // no descriptors: they come back
			say("%v", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		door <- struct{}{}
		all.Go(func() {
			defer func() { <-door }()
			unblock := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer unblock()
			say("%s: begins", conn.RemoteAddr())
			err := serveController(ctx, conn, token, room)
			_ = conn.Close() // the controller may have been first
			if err != nil && ctx.Err() == nil {
				say("%s: %v", conn.RemoteAddr(), err)
				return
			}
			say("%s: ends", conn.RemoteAddr())
		})
	}
}

// serveController greets one controller and plays its worker.
func serveController(ctx context.Context, conn net.Conn, token string, room chan struct{}) error {
	if err := conn.SetDeadline(time.Now().Add(agentTimeout)); err != nil {
		return err
	}
	out, in, own := json.NewEncoder(conn), bufio.NewReader(conn), newNonce()
	if err := out.Encode(agentLine{Protocol: agentProtocol, Nonce: own}); err != nil {
		return err
	}
	theirs, err := readAgentLine(in)
	if err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	refuse := func(reason string) error {
		return errors.Join(errors.New("refused: "+reason), out.Encode(agentLine{Error: reason}))
	}
	if !hmac.Equal(theirs.Proof, agentProof(token, "controller", own, theirs.Nonce)) {
		return refuse("the token is another: --agent-token-file must have the same on both ends")
	}
	select {
	case room <- struct{}{}:
		defer func() { <-room }()
	default:
		return refuse(fmt.Sprintf("the agent already runs %d workers", agentWorkers))
	}
	twin, err := Worker.Start(ctx, "")
	if err != nil {
		return errors.Join(err, refuse("no worker could be started"))
	}
	err = out.Encode(agentLine{Proof: agentProof(token, "agent", own, theirs.Nonce)})
	err = errors.Join(err, conn.SetDeadline(time.Time{}))
	var copied sync.WaitGroup
	copied.Go(func() {
		_, _ = io.Copy(twin.In, in) // its end, with or without an error, is the controller's
		_ = twin.In.Close()
	})
	_, _ = io.Copy(conn, twin.Out) // ends with the worker, or with the controller
	_ = conn.Close()               // ends the other
	copied.Wait()
	_ = twin.Out.Close()
	return errors.Join(err, twin.Wait(answerSlack))
}

// readAgentLine reads one line of a greeting, of at most the reader's buffer.
func readAgentLine(in *bufio.Reader) (l agentLine, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return l, err
	}
	return l, json.Unmarshal(line, &l)
}

// agentConn is the connection to a worker at an agent.
type agentConn struct {
	net.Conn
	in *bufio.Reader // what came behind the greeting is in it
}

func (c *agentConn) Read(p []byte) (int, error) { return c.in.Read(p) }

// dialAgent connects to the agent at addr. The error names the agent.
func dialAgent(ctx context.Context, addr, token string) (c *agentConn, err error) {
	d := net.Dialer{Timeout: agentTimeout}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("agent %s: %w", addr, err)
	}
	defer func() {
		if err != nil {
			_ = conn.Close()
			err = fmt.Errorf("agent %s: %w", addr, err)
		}
	}()
	c = &agentConn{conn, bufio.NewReader(conn)}
	if err := conn.SetDeadline(time.Now().Add(agentTimeout)); err != nil {
		return nil, err
	}
	hello, err := readAgentLine(c.in)
	if err != nil || hello.Protocol == 0 {
		return nil, errors.Join(errors.New("it does not greet as \"peal load agent\" does"), err)
	}
	if hello.Protocol != agentProtocol {
		return nil, fmt.Errorf("it speaks protocol %d, this peal speaks %d: use the same version on all machines", hello.Protocol, agentProtocol)
	}
	own := newNonce()
	if err := json.NewEncoder(conn).Encode(agentLine{Nonce: own, Proof: agentProof(token, "controller", hello.Nonce, own)}); err != nil {
		return nil, err
	}
	answer, err := readAgentLine(c.in)
	switch {
	case err != nil:
		return nil, err
	case answer.Error != "":
		return nil, errors.New(answer.Error)
	case !hmac.Equal(answer.Proof, agentProof(token, "agent", hello.Nonce, own)):
		return nil, errors.New("it does not know the token")
	}
	return c, conn.SetDeadline(time.Time{})
}

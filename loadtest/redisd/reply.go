package redisd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// ReplyError is an error that the server answered, as "NOAUTH Authentication required.".
type ReplyError string

func (e ReplyError) Error() string { return string(e) }

// doTimeout bounds a command whose context has no end.
const doTimeout = 60 * time.Second

// doOn authenticates if there is a password, sends one command and closes conn. Commands
// and answers are as in version 2 of the protocol, which all servers begin with.
func doOn(ctx context.Context, conn net.Conn, password string, args []string) (any, error) {
	defer conn.Close()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(doTimeout)
	}
	_ = conn.SetDeadline(deadline) // fails with the connection only
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	r := bufio.NewReader(conn)
	if password != "" {
		if _, err := doNext(conn, r, []string{"AUTH", password}); err != nil {
			return nil, fmt.Errorf("authenticate: %w", err)
		}
	}
	reply, err := doNext(conn, r, args)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", args[0], err)
	}
	return reply, nil
}

func doNext(w io.Writer, r *bufio.Reader, args []string) (any, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return nil, err
	}
	return readReply(r)
}

func readReply(r *bufio.Reader) (any, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return nil, errors.New("an empty line for an answer")
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return nil, ReplyError(rest)
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("not an answer of Redis: %q", line)
	}
	switch {
	case kind == ':':
		return n, nil
	case n < 0:
		return nil, nil
	case kind == '$':
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		return string(b[:n]), nil
	case kind == '*':
		items := make([]any, n)
		for i := range items {
			items[i], err = readReply(r)
			if inner := ReplyError(""); errors.As(err, &inner) {
				items[i], err = inner, nil
			}
			if err != nil {
				return nil, err
			}
		}
		return items, nil
	}
	return nil, fmt.Errorf("not an answer of Redis: %q", line)
}

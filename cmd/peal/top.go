package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"peal/server/inspect"
)

func newTop() *cobra.Command {
	o := topOptions{sleep: sleep}
	c := &cobra.Command{
		Use:   "top",
		Short: "Show what a running server does now: rates, latency, loops, largest channels, top talkers",
		Long: `Asks the admin listener of a running server (peal serve --admin) for its numbers, and shows
rates between two answers. In a terminal it draws them anew every --every, until Ctrl-C; elsewhere it
prints a block each time. --once takes two answers, prints one block and ends.

LAG is how long a loop took to come to the question, TURN the mean time of its turns, BEHIND the messages
that it has not taken from the log. The server counts the busiest channels and the top talkers only
while somebody asks, so the first block has none.

With --json it prints the answers as they are, one a line: counters since the start, without rates.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.out = c.OutOrStdout()
			return top(c.Context(), &o)
		},
	}
	f := c.Flags()
	o.from = adminFlags(f, "top", "/live", true, 5*time.Second, "how long one response may take")
	f.DurationVar(&o.every, "every", 2*time.Second, "time between two answers, 1s at least")
	f.IntVar(&o.rows, "rows", 5, "channels and talkers of each kind, 1 to 50")
	f.BoolVar(&o.once, "once", false, "print one block and end")
	f.BoolVar(&o.json, "json", false, "print the answers as JSON, one a line")
	return c
}

type topOptions struct {
	from       *adminListener
	every      time.Duration
	rows       int
	once, json bool
	out        io.Writer
	sleep      func(ctx context.Context, d time.Duration) error
}

// sleep returns an error when ctx has ended.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func top(ctx context.Context, o *topOptions) error {
	switch {
	case o.every < time.Second:
		return usageError{errors.New("top: --every must be 1s or more")}
	case o.rows < 1 || o.rows > 50:
		return usageError{errors.New("top: --rows must be from 1 to 50")}
	}
	if _, _, err := o.from.place(); err != nil {
		return err
	}
	screen := newScreen(o)
	defer screen.leave()
	var before *inspect.Live
	for first := true; ; first = false {
		if !first {
			if o.sleep(ctx, o.every) != nil {
				return nil // Ctrl-C
			}
		}
		var now inspect.Live
		text, err := o.from.read(ctx, fmt.Sprintf("/live?top=%d", o.rows), &now)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (first || o.once || !screen.on):
			return err
		case err != nil:
			screen.draw("peal top: " + err.Error() + "\n")
			before = nil
			continue
		case o.json:
			fmt.Fprintln(o.out, text)
		case before != nil:
			screen.draw(topText(before, &now, o.rows))
		case screen.on:
			screen.draw("peal top: the rates follow with the next answer\n")
		}
		if o.once && (o.json || before != nil) {
			return nil
		}
		before = &now
	}
}

// screen is a terminal whose lines are drawn anew; elsewhere blocks follow one another.
type screen struct {
	out io.Writer
	fd  int
	on  bool
}

func newScreen(o *topOptions) *screen {
	s := &screen{out: o.out}
	if f, ok := o.out.(*os.File); ok && !o.once && !o.json && isTerminal(int(f.Fd())) {
		s.fd, s.on = int(f.Fd()), true
		io.WriteString(s.out, "\x1b[?1049h\x1b[?25l") // another page, without a cursor
	}
	return s
}

func (s *screen) leave() {
	if s.on {
		io.WriteString(s.out, "\x1b[?25h\x1b[?1049l")
	}
}

func (s *screen) draw(text string) {
	if !s.on {
		fmt.Fprintln(s.out, text)
		return
	}
	width, height := 80, 24
	if size, err := unix.IoctlGetWinsize(s.fd, unix.TIOCGWINSZ); err == nil && size.Col > 0 && size.Row > 0 {
		width, height = int(size.Col), int(size.Row)
	}
	var b strings.Builder
	b.WriteString("\x1b[H")
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if i == height {
			break
		}
		if i > 0 {
			b.WriteString("\r\n")
		}
		if runes := []rune(line); len(runes) > width {
			line = string(runes[:width])
		}
		b.WriteString(line + "\x1b[K")
	}
	b.WriteString("\x1b[J")
	io.WriteString(s.out, b.String())
}

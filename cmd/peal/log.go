package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"peal/server/log/file"
)

func newLog() *cobra.Command {
	c := &cobra.Command{
		Use:   "log",
		Short: "Inspect the directory of a log (peal serve --log file:DIR)",
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	one := func(c *cobra.Command, args []string) error { return usage(c, cobra.ExactArgs(1)(c, args)) }
	c.AddCommand(&cobra.Command{
		Use:   "inspect DIR | file:DIR",
		Short: "Print the segments of a log, and the earlier epochs",
		Long: `Reads the whole log and prints each of its segments: file, epoch, sequences, bytes,
and the times at which its first and last messages were published; then the
earlier epochs. It changes nothing. You can use it while a server runs; the server
may then have newer messages.`,
		Args: one,
		RunE: func(c *cobra.Command, args []string) error { return inspectLog(logDir(args[0]), c.OutOrStdout()) },
	}, &cobra.Command{
		Use:   "verify DIR | file:DIR",
		Short: "Check a log for damage: exit code 0 or 1",
		Long: `Compares every byte of the log with its checksums. Prints "ok" and figures, or each
damage with its file and byte offset; the exit code is then 1. It changes nothing.
It refuses a directory that a running server uses: verify a copy.`,
		Args: one,
		RunE: func(c *cobra.Command, args []string) error { return verifyLog(logDir(args[0]), c.OutOrStdout()) },
	})
	return c
}

// logDir accepts a directory as it is, or in the form of peal serve --log.
func logDir(argument string) string {
	if dir, ok := strings.CutPrefix(argument, "file:"); ok {
		return dir
	}
	return argument
}

func readLog(dir string) (file.Report, error) {
	r, err := file.Read(dir)
	if err == nil && len(r.Segments) == 0 && len(r.Damage) == 0 {
		err = fmt.Errorf("there is no log in %s", dir)
	}
	return r, err
}

// moment writes a time as log lines do; a zero one is a dash.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func inspectLog(dir string, w io.Writer) error {
	r, err := readLog(dir)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FILE\tEPOCH\tFIRST\tLAST\tBYTES\tOLDEST\tNEWEST\t")
	for _, s := range r.Segments {
		last := "-"
		if s.Last >= s.First {
			last = fmt.Sprint(s.Last)
		}
		note := ""
		if s.Hole > 0 {
			note = fmt.Sprintf("%d messages before it are missing: their sync failed", s.Hole)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%d\t%s\t%s\t%s\n", s.Name, s.Epoch, s.First, last, s.Bytes, moment(s.Oldest), moment(s.Newest), note)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, p := range r.Predecessors {
		fmt.Fprintf(w, "predecessor: epoch %s, up to sequence %d\n", p.Epoch, p.Last)
	}
	switch {
	case r.InUse:
		fmt.Fprintln(w, "in use by a server")
	case r.ClosedWell:
		fmt.Fprintln(w, "closed cleanly")
	default:
		fmt.Fprintln(w, "not closed cleanly: the end may be missing, as after a power failure")
	}
	if r.Torn > 0 && !r.InUse {
		fmt.Fprintf(w, "the last %d bytes are torn: the next start truncates them\n", r.Torn)
	}
	return damaged(r, w)
}

func verifyLog(dir string, w io.Writer) error {
	r, err := readLog(dir)
	switch {
	case err != nil:
		return err
	case r.InUse:
		return fmt.Errorf("a server uses %s: stop it, or verify a copy of the directory", dir)
	}
	if err := damaged(r, w); err != nil {
		return err
	}
	var messages uint64
	var bytes int64
	for _, s := range r.Segments {
		messages += s.Last + 1 - s.First
		bytes += s.Bytes
	}
	torn := ""
	if r.Torn > 0 {
		torn = fmt.Sprintf("; %d torn bytes at the end, which the next start truncates", r.Torn)
	}
	fmt.Fprintf(w, "ok: %d segments, %d messages, %d bytes%s\n", len(r.Segments), messages, bytes, torn)
	return nil
}

// damaged prints all damage, and returns an error if there is any.
func damaged(r file.Report, w io.Writer) error {
	if len(r.Damage) == 0 {
		return nil
	}
	for _, d := range r.Damage {
		fmt.Fprintf(w, "%s: byte %d: %s\n", d.File, d.Offset, d.Reason)
	}
	return errors.New("the log is damaged: " + r.Damage[0].Advice())
}

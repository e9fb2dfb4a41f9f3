package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"peal/server/inspect"
)

// topText is what peal top shows of two answers.
func topText(before, now *inspect.Live, rows int) string {
	notice := ""
	if before.Started != now.Started || before.Process != now.Process {
		notice = replacedText(before, now)
		before = &inspect.Live{At: min(now.Started, now.At)} // counters begin anew
	}
	seconds := max(0.001, float64(now.At-before.At)/1000)
	per := func(a, b uint64) float64 { return float64(b-min(a, b)) / seconds }
	c, was := &now.Counters, &before.Counters
	var b strings.Builder
	b.WriteString(notice)
	fmt.Fprintf(&b, "peal     %s %s, %s, up %s, rates of %.1fs\n", plain(now.Node.Name, 60), plain(now.Node.Version, 30), plain(now.State, 200), time.Duration(max(0, now.At-now.Started)/1000)*time.Second, seconds)
	l := &now.Log
	fmt.Fprintf(&b, "log      %s, epoch %s, entries %d to %d", l.Engine, l.Epoch, l.Oldest, l.Head)
	if l.Known > 0 {
		fmt.Fprintf(&b, " of %d known, read %s ago", l.Known, ms(l.Behind))
	}
	fmt.Fprintf(&b, ", %s\n", plain(cmp.Or(l.Failing, "can be written"), 200))
	deliveries, sends := per(was.Deliveries, c.Deliveries), per(was.Sends, c.Sends)
	fmt.Fprintf(&b, "rates    %s publications/s, %s deliveries/s, %s/s", number(per(was.Publications, c.Publications)), number(deliveries), size(per(was.DeliveryBytes, c.DeliveryBytes)))
	if sends > 0 {
		fmt.Fprintf(&b, ", %.1f messages a send", deliveries/sends)
	}
	fmt.Fprintf(&b, "; received %s messages/s, %s requests/s\n", number(per(was.Received, c.Received)), number(per(was.Requests, c.Requests)))
	fmt.Fprintf(&b, "latency  50 of 100 %s, 99 of 100 %s\n", latencyText(&before.Latency, &now.Latency, 0.5), latencyText(&before.Latency, &now.Latency, 0.99))
	n := &now.Connections
	fmt.Fprintf(&b, "clients  %d: %d websocket, %d sse, %d poll, %d http; %s new/s; %d slow, %d catch up; %d subscriptions on %d channels\n", n.All, n.WebSocket, n.SSE, n.Poll, n.HTTP, number(per(was.Accepted, c.Accepted)), n.Stalled, n.Behind, now.Channels.Subscribers, now.Channels.Channels)
	m := &now.Memory
	fmt.Fprintf(&b, "memory   %s", size(float64(m.Resident)))
	if m.Limit > 0 {
		fmt.Fprintf(&b, " of %s", size(float64(m.Limit)))
	}
	fmt.Fprintf(&b, "; heap %s, history %s, held for clients %s\n", size(float64(m.Heap)), size(float64(m.History)), size(float64(m.Held)))
	fmt.Fprintf(&b, "gaps     %s/s%s\n", number(per(was.Gaps, c.Gaps)), reasonsText(now.Gaps))
	fmt.Fprintf(&b, "refusals %s/s%s\n", number(per(was.Refusals, c.Refusals)), reasonsText(now.Refusals))
	for _, also := range []struct {
		title string
		of    map[string]uint64
	}{{"refused connections", now.Refused}, {"closes", now.Closes}, {"evicted", now.Evicted}} {
		if text := reasonsText(also.of); text != "" {
			fmt.Fprintf(&b, "%s%s\n", also.title, text)
		}
	}
	b.WriteString("\n")
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "LOOP\tCONNECTIONS\tBUSY\tLAG\tTURN\tBEHIND\tDELIVERIES/S")
	for i := range now.Loops {
		l, p := &now.Loops[i], &inspect.Loop{}
		if i < len(before.Loops) {
			p = &before.Loops[i]
		}
		turn := "-"
		if turns := l.Turns - min(p.Turns, l.Turns); turns > 0 {
			turn = micros(float64(max(0, l.Busy-p.Busy)) / float64(turns))
		}
		fmt.Fprintf(t, "%d\t%d\t%.0f%%\t%s\t%s\t%d\t%s\n", l.Loop, l.Connections, float64(max(0, l.Busy-p.Busy))/1e4/seconds, micros(float64(l.Lag)), turn, l.Behind, number(per(p.Deliveries, l.Deliveries)))
	}
	_ = t.Flush() // to memory
	topTables(&b, now.Top, rows)
	return b.String()
}

// replacedText says that another process serves than at the answer before.
func replacedText(before, now *inspect.Live) string {
	versions := ""
	if before.Node.Version != now.Node.Version {
		versions = fmt.Sprintf(", version %s in place of %s", plain(now.Node.Version, 30), plain(before.Node.Version, 30))
	}
	return fmt.Sprintf("note     process %d serves in place of process %d%s: it was upgraded or restarted, and its counters begin anew\n", now.Process, before.Process, versions)
}

// topTables are the largest of each kind.
func topTables(w io.Writer, top *inspect.Top, rows int) {
	if top == nil {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush() // to memory
	rate := func(n uint64) float64 { return float64(n) / max(0.001, top.Seconds) }
	if len(top.Subscribed) > 0 {
		fmt.Fprintln(t, "\nCHANNEL\tSUBSCRIBERS\tRETAINED\tBYTES")
		for _, c := range top.Subscribed[:min(rows, len(top.Subscribed))] {
			fmt.Fprintf(t, "%s\t%d\t%d\t%s\n", plain(c.Channel, 40), c.Subscribers, c.Messages, size(float64(c.Bytes)))
		}
	}
	if top.Seconds == 0 {
		fmt.Fprintln(t, "\nthe server has begun to count the busiest channels and the top talkers")
		return
	}
	if len(top.Busiest) > 0 {
		fmt.Fprintln(t, "\nCHANNEL\tPUBLISHED/S\tBYTES/S")
		for _, c := range top.Busiest[:min(rows, len(top.Busiest))] {
			fmt.Fprintf(t, "%s\t%s\t%s\n", plain(c.Channel, 40), number(rate(c.Publications)), size(rate(c.Bytes)))
		}
	}
	if len(top.Users) > 0 {
		fmt.Fprintln(t, "\nUSER\tCONNECTIONS\tSENT/S\tBYTES/S")
		for _, u := range top.Users[:min(rows, len(top.Users))] {
			fmt.Fprintf(t, "%s\t%d\t%s\t%s\n", plain(u.Client, 40), u.Connections, number(rate(u.Messages)), size(rate(u.Bytes)))
		}
	}
	if len(top.Talkers) > 0 {
		fmt.Fprintln(t, "\nTALKER\tADDRESS\tSENT/S\tBYTES/S\tSESSION")
		for _, k := range top.Talkers[:min(rows, len(top.Talkers))] {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", plain(cmp.Or(k.Client, "-"), 40), k.Address, number(rate(k.Messages)), size(rate(k.Bytes)), k.Session)
		}
	}
}

// reasonsText is counters by reason, the largest first.
func reasonsText(all map[string]uint64) string {
	var names []string
	for name, n := range all {
		if n > 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(all[b], all[a]), cmp.Compare(a, b)) })
	var b strings.Builder
	b.WriteString("; since the start")
	for i, name := range names {
		if i == 6 {
			fmt.Fprintf(&b, ", and %d other reasons", len(names)-i)
			break
		}
		fmt.Fprintf(&b, "%s %s %d", map[bool]string{true: ":", false: ","}[i == 0], plain(name, 40), all[name])
	}
	return b.String()
}

// latencyText is the bound that so many of the new samples are within.
func latencyText(before, now *inspect.Latency, part float64) string {
	counts, all := make([]uint64, len(now.Counts)), uint64(0)
	for i, n := range now.Counts {
		if i < len(before.Counts) {
			n -= min(n, before.Counts[i])
		}
		counts[i], all = n, all+n
	}
	if all == 0 || len(now.Bounds) == 0 {
		return "-"
	}
	seen := uint64(0)
	for i, n := range counts {
		if seen += n; float64(seen) >= part*float64(all) && i < len(now.Bounds) {
			return "within " + micros(now.Bounds[i])
		}
	}
	return "beyond " + micros(now.Bounds[len(now.Bounds)-1])
}

// number is a number for a person.
func number(n float64) string {
	switch {
	case n >= 1e7:
		return fmt.Sprintf("%.1fM", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.1fk", n/1e3)
	case n >= 100 || n == math.Trunc(n):
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.1f", n)
}

// size is a number of bytes for a person.
func size(n float64) string {
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if n < 1024 {
			if unit == "B" || n >= 100 {
				return fmt.Sprintf("%.0f %s", n, unit)
			}
			return fmt.Sprintf("%.1f %s", n, unit)
		}
		n /= 1024
	}
	return fmt.Sprintf("%.1f TiB", n)
}

// micros is a duration of microseconds for a person.
func micros(n float64) string {
	d := time.Duration(n * 1000)
	switch {
	case d >= time.Second:
		d = d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		d = d.Round(10 * time.Microsecond)
	default:
		d = d.Round(time.Microsecond)
	}
	return d.String()
}

// mostMarks is how many marks in a row, as accents, are shown over one character.
const mostMarks = 3

// plain is a text of a client for a terminal, at most most characters: what is not seen,
// moves the cursor, turns the direction of the line or piles up is written as its number.
func plain(text string, most int) string {
	var b strings.Builder
	n, marks := 0, 0
	for _, r := range text {
		if n++; n > most {
			b.WriteString("…")
			break
		}
		if unicode.IsMark(r) {
			marks++
		} else {
			marks = 0
		}
		if marks <= mostMarks && unicode.IsPrint(r) && r != unicode.ReplacementChar || r == '\u200c' || r == '\u200d' { // the last two join letters, or keep them apart
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "<U+%04X>", r)
		}
	}
	return b.String()
}

package rules

import (
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"peal/loop/fanout"
	"peal/server/log"
)

// maxPattern is the length of the longest pattern in bytes, as of the longest
// name of a channel.
const maxPattern = 200

// Fault is what is wrong with one rule.
type Fault struct {
	Rule  int // its place, from 0
	Match string
	What  string // what is wrong and what to change
}

func (f *Fault) Error() string { return fmt.Sprintf("rule %d, %q: %s", f.Rule+1, f.Match, f.What) }

// Validate reports all that is wrong with the rules of a server whose messages
// have at most messageBytes. What it returns is joined Faults, or an error about
// all rules.
func Validate(rules []Rule, messageBytes int) error {
	if len(rules) > Most {
		return fmt.Errorf("%d rules for channels: at most %d are looked through for each new channel; use patterns to say the same with fewer", len(rules), Most)
	}
	var faults []error
	var earlier []pattern
	for i, r := range rules {
		fault := func(format string, args ...any) {
			faults = append(faults, &Fault{i, r.Match, fmt.Sprintf(format, args...)})
		}
		switch {
		case r.Match == "":
			fault("has no pattern: say which channels it is for")
		case !isPattern(r.Match):
			fault("a pattern is 1 to %d bytes of printable UTF-8, in which * stands for any characters", maxPattern)
		default:
			if k := slices.IndexFunc(earlier, func(p pattern) bool { return p.covers(r.Match) }); k >= 0 {
				fault("can never match: rule %d, %q, has all its channels; move this one before it, or remove it", k+1, rules[k].Match)
			}
		}
		earlier = append(earlier, compile(r.Match))
		if r.HistoryBytes != 0 && r.HistoryBytes < log.EntryOverhead {
			fault("history of %d B: must be at least %d B, what one empty message is charged (for no history, set its messages to 0)", r.HistoryBytes, log.EntryOverhead)
		}
		if r.HistoryAge != 0 && r.HistoryAge < time.Millisecond {
			fault("history age %v: must be at least 1ms", r.HistoryAge)
		}
		if r.MessageBytes < 0 || r.MessageBytes > messageBytes {
			fault("messages of %d B: must be at most message-bytes, which is %d B for all channels: raise that one, or lower this", r.MessageBytes, messageBytes)
		}
		if r.Slow == fanout.Latest && r.HistoryMessages < 0 {
			fault("slow: latest needs a history, from which slow subscribers are sent the newest message: set history-messages to at least 1")
		}
		if r.MaxSubscribers < 0 {
			fault("%d subscribers: must be at least 1, or left out for no limit", r.MaxSubscribers)
		}
	}
	return errors.Join(faults...)
}

func isPattern(text string) bool {
	if text == "" || len(text) > maxPattern || !utf8.ValidString(text) {
		return false
	}
	for _, r := range text {
		if !IsNameRune(r) {
			return false
		}
	}
	return true
}

// IsNameRune reports whether r may stand in the name of a channel or a client:
// what is printable, and the two joiners, which are invisible and part of the
// spelling: U+200C in Persian, U+200D in emoji and Indic scripts. Names are
// compared byte by byte; ones that only look alike are different channels.
func IsNameRune(r rune) bool {
	const zeroWidthNonJoiner, zeroWidthJoiner = '\u200c', '\u200d'
	return unicode.IsPrint(r) || r == zeroWidthNonJoiner || r == zeroWidthJoiner
}

package rules

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"peal/loop/fanout"
	"peal/server/log"
	"peal/server/pattern"
)

// Fault is a mistake in one rule.
type Fault struct {
	Rule  int // its index, from 0
	Match string
	What  string // what is wrong and what to change
}

func (f *Fault) Error() string { return fmt.Sprintf("rule %d, %q: %s", f.Rule+1, f.Match, f.What) }

// Validate reports all mistakes in the rules of a server whose messages have at
// most messageBytes. It returns joined Faults, or an error about all rules.
func Validate(rules []Rule, messageBytes int) error {
	if len(rules) > Most {
		return fmt.Errorf("%d rules for channels: must be at most %d, because each new name is compared with all of them; use patterns to need fewer", len(rules), Most)
	}
	var faults []error
	var earlier []pattern.Pattern
	for i, r := range rules {
		fault := func(format string, args ...any) {
			faults = append(faults, &Fault{i, r.Match, fmt.Sprintf(format, args...)})
		}
		compiled, err := pattern.Compile(r.Match)
		switch {
		case r.Match == "":
			fault("has no pattern: set match")
		case err != nil:
			fault("%v", err)
		default:
			if k := slices.IndexFunc(earlier, func(p pattern.Pattern) bool { return p.Covers(r.Match) }); k >= 0 {
				fault("can never match: rule %d, %q, matches all its channels; move this rule before it, or remove it", k+1, rules[k].Match)
			}
		}
		earlier = append(earlier, compiled)
		if r.HistoryBytes != 0 && r.HistoryBytes < log.EntryOverhead {
			fault("history of %d B: must be at least %d B, the charge for one empty message (for no history, set history-messages to 0)", r.HistoryBytes, log.EntryOverhead)
		}
		if r.HistoryAge != 0 && r.HistoryAge < time.Millisecond {
			fault("history age %v: must be at least 1ms", r.HistoryAge)
		}
		if r.MessageBytes < 0 || r.MessageBytes > messageBytes {
			fault("messages of %d B: must be at most message-bytes, which is %d B for all channels: raise message-bytes, or lower the value of the rule", r.MessageBytes, messageBytes)
		}
		if r.Slow == fanout.Latest && r.HistoryMessages < 0 {
			fault("slow: latest needs a history, because slow consumers receive the newest message from it: set history-messages to at least 1")
		}
		if err := r.Rate.Check(); err != nil {
			fault("rate %s: %v", r.Rate, err)
		}
		if r.MaxSubscribers < 0 {
			fault("%d subscribers: must be at least 1; omit max-subscribers for no limit", r.MaxSubscribers)
		}
	}
	return errors.Join(faults...)
}

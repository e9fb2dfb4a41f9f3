package fanout

import "fmt"

// Policy says what becomes of a slow consumer of a channel: one that was live,
// whose socket then was full. 0 is none yet, and counts as Resume.
type Policy uint8

const (
	Resume     Policy = 1 + iota // it is sent all that is retained, and a gap for what is not
	Latest                       // it is sent the newest message alone, and how many were passed over
	Disconnect                   // it is sent all that is retained; if that has a gap, it is closed (Events.Fell)
)

var policyNames = [...]string{Resume: "resume", Latest: "latest", Disconnect: "disconnect"}

// String is the policy as it is written, "" for none.
func (p Policy) String() string { return policyNames[p] }

// ParsePolicy reads what String writes.
func ParsePolicy(text string) (Policy, error) {
	for p := Resume; p <= Disconnect; p++ {
		if p.String() == text {
			return p, nil
		}
	}
	return 0, fmt.Errorf("must be %s, %s or %s", Resume, Latest, Disconnect)
}

package fanout

import "fmt"

// Policy determines what happens to a slow consumer of a channel: a member that was
// live, and whose socket then was full. 0 is not set, and is treated as Resume.
type Policy uint8

const (
	Resume     Policy = 1 + iota // it receives all that is retained, and a gap for the rest
	Latest                       // it receives the newest message only, and the number skipped
	Disconnect                   // it receives all that is retained; if that has a gap, it is closed (Events.Fell)
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

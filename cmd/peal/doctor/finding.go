package doctor

import "fmt"

// Status is the result of one check.
type Status string

// A warning costs something, now or under load; after a failure something does not
// work. A check that could not be made is skipped, and its value is the reason.
const (
	OK      Status = "ok"
	Warning Status = "warning"
	Failure Status = "failure"
	Skipped Status = "skipped"
)

// Finding is the result of a check, or one of several.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Value  string `json:"value"` // what is there

	// With a warning or a failure: why it matters, and what changes it: a command, or a
	// setting of Peal.
	Why string   `json:"why,omitempty"`
	Fix []string `json:"fix,omitempty"`

	// Proxies are the settings of proxies in front of Peal that change it.
	Proxies []Advice `json:"proxies,omitempty"`
}

// Advice is lines for the configuration of a proxy.
type Advice struct {
	Proxy string   `json:"proxy"`
	Lines []string `json:"lines"`
}

// Fine is a finding without a fault.
func Fine(check, format string, args ...any) Finding {
	return Finding{Check: check, Status: OK, Value: fmt.Sprintf(format, args...)}
}

// Skip is a check that could not be made, and the reason.
func Skip(check, format string, args ...any) Finding {
	return Finding{Check: check, Status: Skipped, Value: fmt.Sprintf(format, args...)}
}

// Warn is a finding that costs something.
func Warn(check, value, why string, fix ...string) Finding {
	return Finding{Check: check, Status: Warning, Value: value, Why: why, Fix: fix}
}

// Fail is a finding by which something does not work.
func Fail(check, value, why string, fix ...string) Finding {
	return Finding{Check: check, Status: Failure, Value: value, Why: why, Fix: fix}
}

// Package doctor is what the checks of `peal doctor` have in common: the finding and
// the report, which is printed as text or JSON.
//
// Package machine checks the machine that Peal runs on, package outside a server as its
// clients reach it, through whatever is in between. Both return findings; neither
// changes anything on the machine.
//
// docs/doctor.md lists all checks. A Finding is a value; a Report belongs to one goroutine at a time.
package doctor

package loop

import "slices"

// closeCodes are the codes with which the server closes WebSockets of its own
// accord: RFC 6455 §7.4.1, and those of its own. docs/http.md says what each
// means.
var closeCodes = [...]int{1001, 1002, 1007, 1009, 1013, 4400, 4401, 4403, 4409, 4410, 4413, 4429}

// CloseCounts counts close frames by code. It belongs to one goroutine.
type CloseCounts struct {
	known [len(closeCodes)]uint64
	other uint64
}

// Add counts one close frame. It does not allocate.
func (n *CloseCounts) Add(code uint16) {
	if i := slices.Index(closeCodes[:], int(code)); i >= 0 {
		n.known[i]++
	} else {
		n.other++
	}
}

// ByCode has an entry for each code that the server uses, and 0 for all others.
func (n *CloseCounts) ByCode() map[int]uint64 {
	all := map[int]uint64{0: n.other}
	for i, code := range closeCodes {
		all[code] = n.known[i]
	}
	return all
}

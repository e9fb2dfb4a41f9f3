package server

import (
	"fmt"

	"peal/loop"
)

// leastConnections is what the error asks for where nobody set how many
// connections there may be, and the descriptor limit leaves none.
const leastConnections = 16

// checkDescriptors refuses more connections than the process may have
// descriptors for. c has its defaults. It is not part of Config.Validate: a
// configuration is checked on other machines, too.
func checkDescriptors(c Config) error {
	limit, margin := loop.DescriptorLimit(), loop.DescriptorMargin(c.Loop.Loops)
	most := c.Loop.MaxConnections
	if most <= limit-margin && most > 0 {
		return nil
	}
	if most <= 0 { // the default, what a tiny limit leaves
		most = leastConnections
	}
	lower := ""
	if limit-margin > 0 {
		lower = fmt.Sprintf(", or set max-connections to at most %d", limit-margin)
	}
	return fmt.Errorf("the limit of open files is %d: %d connections need %d, because the server itself needs up to %d; raise the limit (ulimit -n, or LimitNOFILE= in a systemd unit) to at least %d%s", limit, most, most+margin, margin, most+margin, lower)
}

package upgrade

import "fmt"

// Format is the version of what the parts and the connections mean. A process refuses
// another one than its own, and those that it names in Reads.
const Format = 2

// Manifest is what the new process must know to decide whether it can take over.
type Manifest struct {
	Format    int
	Version   string     // of the program
	Listeners []Listener // in the order of their descriptors
	Data      []byte     // of the server: what it must know before all parts
}

// Listener is one that the old process listens on.
type Listener struct {
	Purpose    string // "clients", "plain", "admin", "redirect"
	Address    string // where it listens
	Configured string // as the configuration has it: an address, or a descriptor as in "inherit 3"
}

// Part is a piece of what one room of the old process hands over.
type Part struct {
	Room string // "log", "presence", …
	Data []byte
}

// Batch is some connections: what is known of them, and their descriptors.
type Batch struct {
	Data        []byte
	Connections int   // how many; more than Descriptors if the new process has some ahead
	Descriptors []int // of the process that holds the Batch; not sent as numbers
}

// connections is a Batch beside its descriptors.
type connections struct {
	Data        []byte
	Connections int
}

// Totals are what the old process has sent, for the new one to compare.
type Totals struct {
	Parts, Connections int
	Ahead              int    // connections that were sent ahead
	Head               uint64 // of the log: what the new process appends begins behind it
}

// taken is the answer to a Batch.
type taken struct{ Left []int }

// ready is the answer to a Manifest.
type ready struct{ Version string }

// refused is why the new process does not take over.
type refused struct{ Reason string }

// RefusedError is the answer of a new process that does not take over.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return "the new process refuses to take over: " + e.Reason }

// CheckFormat returns an error for a manifest that this program cannot read.
func CheckFormat(m Manifest) error {
	if m.Format != Format {
		return fmt.Errorf("the running server (version %s) hands over in format %d, and this program reads format %d: restart instead (systemctl restart), which drains connections", m.Version, m.Format, Format)
	}
	return nil
}

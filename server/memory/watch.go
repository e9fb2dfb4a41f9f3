package memory

// Level is how much of its limit the process has.
type Level int

const (
	Normal Level = iota
	High         // nine tenths
	Over         // all of it
)

// Watch follows the level. It goes down later than up, so that it does not change with
// each collection of garbage.
type Watch struct {
	limit int
	level Level
}

// NewWatch returns a Watch of a limit in bytes.
func NewWatch(limit int) *Watch { return &Watch{limit: limit} }

// Target is what the runtime should keep to: it collects garbage more often before
// the level is High.
func (w *Watch) Target() int { return w.limit / 20 * 17 }

// Step takes what the process has now, and returns the level.
func (w *Watch) Step(resident int) Level {
	high, low := w.limit/10*9, w.limit/5*4
	switch {
	case resident >= w.limit, w.level == Over && resident >= high:
		w.level = Over
	case resident >= high, w.level != Normal && resident >= low:
		w.level = High
	default:
		w.level = Normal
	}
	return w.level
}

package fanout

// Limits bound what one Fan holds. Zero values are replaced by the defaults.
type Limits struct {
	// StripBytes cuts a strip and one member's share of a turn. Default 64 KiB.
	// Raising it saves system calls for who is behind and costs memory for each
	// view that is behind.
	StripBytes int

	// LaneBytes is what a member's private lane may hold beside the rest of a
	// half-sent message or one HTTP answer. Beyond it the member is given up
	// (Events.Slow). Default 16 KiB.
	LaneBytes int

	// HeldBytes is what all lanes of the Fan may hold, half-sent messages and
	// answers included, each message once. Beyond it the members that hold most are given up,
	// counted with their shares (Fan.UseShares). Default 64 MiB.
	HeldBytes int

	// WaitingBytes is what the strips of messages that wait for their turn may
	// hold, those that views share and those of single views. Beyond it Room says
	// no, and the loop leaves what comes next in the ring, which is full some time
	// later. Default 64 MiB. Raising it costs memory while a loop is overloaded.
	WaitingBytes int

	// AnswerMessages and AnswerBytes end one poll's answer. Defaults 100 and 1 MiB.
	AnswerMessages, AnswerBytes int
}

// WithDefaults returns l with its zero values filled in.
func (l Limits) WithDefaults() Limits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.StripBytes, 64<<10)
	set(&l.LaneBytes, 16<<10)
	set(&l.HeldBytes, 64<<20)
	set(&l.WaitingBytes, 64<<20)
	set(&l.AnswerMessages, 100)
	set(&l.AnswerBytes, 1<<20)
	return l
}

const (
	// batchSends is how many sends are queued before the sender is flushed.
	batchSends = 64
	// viewQuantum is how many members of one view are visited before the next
	// view, or who is behind, has a turn.
	viewQuantum = 64

	// passedOver: a turn of a bundle passes over viewQuantum/passedOver views that another one has visited. Until the
	// next turn, that one visits more of the views that both have, often all of them.
	passedOver = 16
	// shareMembers is how many members a view of several channels may have and
	// still share what waits for it. With more, strips of its own cost little for
	// each of them, and nothing is merged again for every batch of sends.
	shareMembers = 1024
	// gatheredBytes is how much is merged for single views before the sender is flushed.
	gatheredBytes = 1 << 20
	// looseBytes limits the bytes that only flights hold, history and merged strips:
	// beyond it nothing more is queued until some flights were reported. A sender that
	// reports at once never comes near it.
	looseBytes = 64 << 20
	// compressedAnswer is AnswerBytes for answers that are compressed.
	compressedAnswer = 64 << 10
	// maxMost is the greatest number of messages in one poll's answer.
	maxMost = 1<<16 - 1
	// backViews is how many views may keep a strip of history at a time.
	backViews = 64
)

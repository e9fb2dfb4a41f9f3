package fanout

// Work is counted in units, so that a turn ends where its time would be used up
// and tests can count what they cannot time. Sends have a budget of their own;
// what is counted here is what a send may need before it: history that is read,
// gaps, subscriptions that change, and messages that are taken from the ring.
//
// unit is a microsecond of a core of 2020 in thousandths: the costs below are
// nanoseconds, from BenchmarkHistory, and need to be right
// within a factor of two.
const (
	unit        = 1000
	costRead    = 250 // one look at the history of one channel
	costMerged  = 60  // one message through the heap
	costGap     = 300 // one notice, beside its bytes
	costByte    = 1   // encoded, or copied
	costEncoded = 300 // one encoding, beside its bytes
	costJoined  = 400 // a channel of a subscription that is made or changed

	costSum = 300 // the sum of a message that is added to another

	costAdded   = 40 // a message that is added to a strip, beside its bytes
	bytesAdded  = 16 // of it are copied in a nanosecond
	bytesSent   = 3  // that the kernel copies in a nanosecond
	costTouched = 5  // a view that gets new messages

	costLook    = 25 // a look into the index of matchers
	costMatched = 50 // to ask a matcher whether it matches a name, if that is cheap
	costUsual   = 8  // else a part of Pattern.Cost, which is for the worst name
	costLooked  = 60 // a publication that is looked at for a matcher's history
)

// unitsPerSend is what one send of the budget of Flush stands for.
const unitsPerSend = 4

func (f *Fan) charge(cost int) { f.work += uint64(cost) }

// Work is how many units of work the fan has done since it was made, without sends.
// A caller takes the difference of two calls.
func (f *Fan) Work() uint64 { return f.work / unit }

// sendsOf is how many sends the work since before stands for.
func (f *Fan) sendsOf(before uint64) int { return int((f.work - before) / (unit * unitsPerSend)) }

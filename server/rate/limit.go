package rate

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Most is the largest count and the largest burst of a limit.
const Most = 1_000_000

// Limit is a rate, and how much may come at once. Its zero value is no limit where
// it stands, and another one may apply; Off is no limit in place of another.
type Limit struct {
	Count int           // tokens per Per, 1 to Most; negative: Off
	Per   time.Duration // a second, or a minute
	Burst int           // tokens of a full bucket, 1 to Most
}

// Off says that there is no limit.
var Off = Limit{Count: -1}

// PerSecond returns the limit of n a second, and as many at once.
func PerSecond(n int) Limit { return Limit{n, time.Second, n} }

// IsSet reports whether the limit is not the zero value.
func (l Limit) IsSet() bool { return l.Count != 0 }

// IsOn reports whether something is limited.
func (l Limit) IsOn() bool { return l.Count > 0 }

// interval is how long one token takes, in nanoseconds.
func (l Limit) interval() int64 { return int64(l.Per) / int64(l.Count) }

var errForm = errors.New("must be a number for each second or minute, and optionally a burst, as in 100/s, 100/s burst 200 or 30/m; or off")

// Parse reads a limit as String writes it. Without a burst it is the same number.
func Parse(text string) (Limit, error) {
	if text == "off" {
		return Off, nil
	}
	fields := strings.Fields(text)
	if len(fields) != 1 && (len(fields) != 3 || fields[1] != "burst") {
		return Limit{}, errForm
	}
	count, unit, _ := strings.Cut(fields[0], "/")
	l := Limit{Per: time.Second}
	switch unit {
	case "s":
	case "m":
		l.Per = time.Minute
	default:
		return Limit{}, errForm
	}
	var err error
	if l.Count, err = parseCount(count); err != nil {
		return Limit{}, err
	}
	l.Burst = l.Count
	if len(fields) == 3 {
		l.Burst, err = parseCount(fields[2])
	}
	if err != nil {
		return Limit{}, err
	}
	return l, nil
}

func parseCount(text string) (int, error) {
	n, err := strconv.Atoi(text)
	switch {
	case errors.Is(err, strconv.ErrRange):
	case err != nil:
		return 0, errForm
	case 1 <= n && n <= Most:
		return n, nil
	}
	return 0, errors.New("must have numbers from 1 to " + strconv.Itoa(Most) + " (off for no limit)")
}

// Check returns nil if the limit is one that Parse returns, or none.
func (l Limit) Check() error {
	if !l.IsOn() {
		return nil
	}
	if l.Per != time.Second && l.Per != time.Minute || l.Count > Most || l.Burst < 1 || l.Burst > Most {
		return errors.New("must be for each second or minute, with numbers from 1 to " + strconv.Itoa(Most))
	}
	return nil
}

// Limits are those of a server. A zero value is no limit.
type Limits struct {
	Connection Limit // of each connection of a client that is no backend
	Key        Limit // of each key of a backend, on all of its connections
	User       Limit // of each user with a token, on all connections
}

// String is the limit as Parse reads it.
func (l Limit) String() string {
	if !l.IsOn() {
		return "off"
	}
	text := strconv.Itoa(l.Count) + "/s"
	if l.Per == time.Minute {
		text = strconv.Itoa(l.Count) + "/m"
	}
	if l.Burst != l.Count {
		text += " burst " + strconv.Itoa(l.Burst)
	}
	return text
}

package rules

import "errors"

// A Who is what a client must prove to be allowed an action; 0 is inherited.
type Who uint8

const (
	Anyone  Who = 1 + iota // nothing
	Token                  // a token or a key that grants the action on the channel
	Backend                // a key that grants it
)

var whoTexts = [...]string{Anyone: "anyone", Token: "token", Backend: "backend"}

func (w Who) String() string { return whoTexts[w] }

// ParseWho reads anyone, token or backend.
func ParseWho(text string) (Who, error) {
	for w := Anyone; w <= Backend; w++ {
		if text == whoTexts[w] {
			return w, nil
		}
	}
	return 0, errors.New("must be anyone, token or backend")
}

package subscription

import "peal/server/mercure"

// Path is that of the list of all subscriptions.
const Path = mercure.Path + "/subscriptions"

// maxTopic is the length of the longest id that is the topic of an update; a longer one has no
// events.
const maxTopic = 200

// ID is the path of the subscription of a subscriber to a topic, and ID with "" for the
// subscriber the path of those of the topic.
func ID(topic, subscriber string) string {
	dst := append(make([]byte, 0, len(Path)+2+2*len(topic)+len(subscriber)+8), Path+"/"...)
	dst = appendEscaped(dst, topic)
	if subscriber != "" {
		dst = appendEscaped(append(dst, '/'), subscriber)
	}
	return string(dst)
}

// appendEscaped appends text as the simple expansion of a variable (RFC 6570 §3.2.2).
func appendEscaped(dst []byte, text string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(text) {
		switch b := text[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '-', b == '.', b == '_', b == '~':
			dst = append(dst, b)
		default:
			dst = append(dst, '%', hex[b>>4], hex[b&15])
		}
	}
	return dst
}

// newSubscriber returns the id of a subscriber: a random UUID (RFC 9562 §5.4) as a URN.
func newSubscriber(random func(b []byte)) string {
	var b [16]byte
	random(b[:])
	b[6], b[8] = b[6]&0x0F|0x40, b[8]&0x3F|0x80
	const hex = "0123456789abcdef"
	dst := append(make([]byte, 0, len("urn:uuid:")+36), "urn:uuid:"...)
	for i, c := range b {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, hex[c>>4], hex[c&15])
	}
	return string(dst)
}

package subscription

import (
	"cmp"
	"slices"

	"peal/server/publication"
)

// Type is the media type of the documents.
const Type = "application/ld+json"

// ListBytes ends a list, as it is sent; it may be longer by one subscription.
const ListBytes = 1 << 20

// Cost is about how many microseconds a list of the table takes.
func (t *Table) Cost() int {
	elsewhere, _ := t.peers.size()
	t.mu.Lock()
	defer t.mu.Unlock()
	return 100 + (len(t.list)+elsewhere)/2
}

// AppendList appends the document of the subscriptions to a topic, "" for all, which come behind
// the one with the id after, by their ids. last is the id of the last event before the call. A list
// that would be too long has the member next: where it goes on.
func (t *Table) AppendList(dst []byte, topic, after, last string) []byte {
	path := Path
	if topic != "" {
		path = ID(topic, "")
	}
	dst = append(dst, `{`+context+`"id":`...)
	dst = publication.AppendString(dst, path)
	dst = append(dst, `,"type":"Subscriptions","lastEventID":`...)
	dst = publication.AppendString(dst, last)
	dst = append(dst, `,"subscriptions":[`...)
	from, next := len(dst), ""
	for _, s := range t.sorted(topic, after) {
		if len(dst)-from > ListBytes {
			next = after
			break
		}
		if len(dst) > from {
			dst = append(dst, ',')
		}
		dst = appendSubscription(dst, s, true, false, "")
		after = s.ID
	}
	dst = append(dst, ']')
	if next != "" {
		dst = append(dst, `,"next":`...)
		dst = publication.AppendString(dst, path+"?after="+string(appendEscaped(nil, next)))
	}
	return append(dst, '}')
}

// AppendOne appends the document of one subscription; ok is false if there is none.
func (t *Table) AppendOne(dst []byte, topic, subscriber, last string) (_ []byte, ok bool) {
	for _, s := range t.active() {
		if s.Topic == topic && s.Subscriber == subscriber {
			return appendSubscription(dst, s, true, true, last), true
		}
	}
	return dst, false
}

// sorted returns the active subscriptions to a topic behind an id, by their ids.
func (t *Table) sorted(topic, after string) []*Subscription {
	all := t.active()
	all = slices.DeleteFunc(all, func(s *Subscription) bool { return topic != "" && s.Topic != topic || s.ID <= after })
	slices.SortFunc(all, func(a, b *Subscription) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

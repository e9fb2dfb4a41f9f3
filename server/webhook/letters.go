package webhook

import (
	"context"
	"encoding/json"
	"errors"

	"peal/server/log"
)

// Shared is a Store that all nodes of a log share.
type Shared struct{ In log.Collection }

// LettersName is the name of the collection.
const LettersName = "webhook-letters"

// letterKey has no name that another letter has: names have no control characters.
func letterKey(webhook, id string) string { return webhook + "\x00" + id }

// Put implements Store.
func (s Shared) Put(ctx context.Context, l Letter) (dropped int, err error) {
	body := l.Body
	l.Body = nil
	head, err := json.Marshal(l)
	if err != nil {
		return 0, err
	}
	return s.In.Put(ctx, log.Document{Key: letterKey(l.Webhook, l.ID), Head: head, Body: body}, MostLetters, MostLetterBytes)
}

// List implements Store. A document that is no letter is an error, beside the letters.
func (s Shared) List(ctx context.Context) (all []Letter, err error) {
	heads, err := s.In.Heads(ctx)
	for _, head := range heads {
		var l Letter
		if json.Unmarshal(head, &l) != nil || l.Webhook == "" {
			err = errors.Join(err, errors.New("a dead letter in the store of the log is damaged, or of a later version of Peal"))
			continue
		}
		all = append(all, l)
	}
	return all, err
}

// Body implements Store.
func (s Shared) Body(ctx context.Context, webhook, id string) ([]byte, error) {
	body, _, err := s.In.Body(ctx, letterKey(webhook, id))
	return body, err
}

// Delete implements Store.
func (s Shared) Delete(ctx context.Context, webhook, id string) (found bool, err error) {
	return s.In.Delete(ctx, letterKey(webhook, id))
}

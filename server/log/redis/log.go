package redis

import (
	"context"

	"peal/server/log"
	"peal/server/log/distributed"
)

// Log is the engine. It implements log.Distributed and log.Reader.
type Log struct {
	*distributed.Log
	inbox       *inbox
	collections *collections
}

// Close ends the log; see log.Engine.
func (l *Log) Close() error {
	err := l.Log.Close()
	l.collections.close()
	return err
}

// Inbox implements log.Inboxed.
func (l *Log) Inbox() log.Inbox { return l.inbox }

// Start reads what is retained, and then appends and follows until Close; see log.Engine.
func (l *Log) Start(tail log.Tail, restore func(batch []*log.Entry)) error {
	if err := l.Log.Start(tail, restore); err != nil {
		return err
	}
	l.Run()
	return nil
}

// Offer implements log.Outgoing.
func (l *Log) Offer() (log.Handover, error) {
	h, err := l.Log.Offer()
	h.Engine = "redis"
	return h, err
}

// Pause implements log.Outgoing.
func (l *Log) Pause(ctx context.Context) (log.Handover, error) {
	h, err := l.Log.Pause(ctx)
	h.Engine = "redis"
	return h, err
}

// Release implements log.Outgoing.
func (l *Log) Release() error {
	err := l.Log.Release()
	if err == nil {
		l.collections.close()
	}
	return err
}

var (
	_ log.Outgoing    = (*Log)(nil)
	_ log.Incoming    = (*Log)(nil)
	_ log.Distributed = (*Log)(nil)
	_ log.Reader      = (*Log)(nil)
	_ log.Inboxed     = (*Log)(nil)
	_ log.Collecting  = (*Log)(nil)
)

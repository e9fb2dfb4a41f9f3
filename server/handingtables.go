package server

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"peal/server/ban"
	"peal/server/cluster"
	"peal/server/control"
	"peal/server/counts"
	"peal/server/idempotency"
	"peal/server/log"
	"peal/server/mercure/subscription"
	"peal/server/presence"
	"peal/server/revoke"
	"peal/server/upgrade"
	"peal/server/webhook"
)

// What the old side of a hand-over sends beside the log and the connections.

// describing begins the names of rooms with an empty value, which is not to be taken: gob describes and compiles the types of
// a stream with the first value, and clients do not have to wait for that.
const describing = "describing "

func (h *handing) warm(to func(upgrade.Part) error) error {
	values := map[string]any{
		roomPaused: &log.Handover{}, roomEntries: &log.Packed{}, roomIdempotency: &idempotency.Part{}, roomBans: &ban.Part{}, roomRevocations: &revoke.Part{},
		roomControl: &control.Handover{}, roomWebhooks: &webhook.Part{}, roomPresence: &presence.Part{}, roomSessions: &sessions{}, roomRests: &rests{},
		roomSubscriptions: &subscription.Part{},
	}
	if h.server.cluster != nil {
		values[roomMembers], values[roomCounts], values[roomNode] = &presence.ClusterPart{}, &counts.Part{}, &cluster.Handover{}
	}
	for i := range h.server.config.Loop.Loops {
		values[roomOfLoop(i)] = &conns{}
	}
	for _, room := range slices.Sorted(maps.Keys(values)) {
		data, err := h.streams.of(room).encode(values[room])
		if err != nil {
			return fmt.Errorf("%s: %w", room, err)
		}
		if err := to(upgrade.Part{Room: describing + room, Data: data}); err != nil {
			return err
		}
	}
	return nil
}

// tables sends what is not in the log.
func (h *handing) tables(ctx context.Context, to func(upgrade.Part) error) error {
	s := h.server
	steps := []func() error{
		func() error { return s.keys.HandOver(send[idempotency.Part](h, roomIdempotency, to)) },
		func() error { return s.bans.HandOver(send[ban.Part](h, roomBans, to)) },
		func() error { return s.revoked.HandOver(send[revoke.Part](h, roomRevocations, to)) },
		func() error {
			orders, err := s.orders.HandOver()
			if err != nil {
				return err
			}
			return send[control.Handover](h, roomControl, to)(&orders)
		},
		func() error { return s.hooks.HandOver(ctx, send[webhook.Part](h, roomWebhooks, to)) },
		func() error { return s.presence.HandOver(send[presence.Part](h, roomPresence, to)) },
		func() error { return s.subscriptions.HandOver(send[subscription.Part](h, roomSubscriptions, to)) },
		func() error {
			if s.cluster == nil {
				return nil
			}
			return h.node(to)
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// node sends what a node knows of the others, and they of it.
func (h *handing) node(to func(upgrade.Part) error) error {
	s := h.server
	if err := s.presence.Cluster().HandOver(send[presence.ClusterPart](h, roomMembers, to)); err != nil {
		return err
	}
	if err := s.counts.HandOver(send[counts.Part](h, roomCounts, to)); err != nil {
		return err
	}
	node := s.cluster.HandOver()
	return send[cluster.Handover](h, roomNode, to)(&node)
}

// export exports the connections, and sends what they have in common.
func (h *handing) export(ctx context.Context, to func(upgrade.Part) error) (err error) {
	s := h.server
	if h.state, err = s.loops.Export(ctx, h.names, h.ahead); err != nil {
		return err
	}
	if err := send[sessions](h, roomSessions, to)(&sessions{s.sessions.HandOver(), h.state.Sessions, h.stays(), h.frozen}); err != nil {
		return err
	}
	now := monotonic()
	for i := range h.state.Loops {
		if err := send[rests](h, roomRests, to)(&rests{i, h.state.Loops[i].Rests, now, h.state.Loops[i].Life}); err != nil {
			return err
		}
	}
	return nil
}

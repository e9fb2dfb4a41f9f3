package admin

import (
	"context"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"peal/loop"
	"peal/loop/admit"
	"peal/loop/fanout"
	"peal/loop/proxied"
	"peal/server/apikey"
	"peal/server/ask"
	"peal/server/cluster"
	"peal/server/hub"
	"peal/server/inbox"
	"peal/server/memory"
	"peal/server/mercure/subscription"
	"peal/server/otel"
	"peal/server/presence"
	"peal/server/revoke"
	"peal/server/tally"
	"peal/server/trace"
	"peal/server/upgrade"
	"peal/server/webhook"
)

// collector queries the source at each scrape.
type collector struct{ source Source }

// state is the result of all queries of one scrape.
type state struct {
	loops      []loop.Stats
	fronts     tally.Stats
	hub        hub.Stats
	head       uint64
	failing    bool
	presence   presence.Stats
	bans       int
	lost       uint64
	lostAccess uint64 // of the access log
	keys       int
	lostKeys   uint64
	lostBans   uint64
	limited    map[string]uint64
	revoked    revoke.Stats
	memory     memory.Level
	backends   []apikey.Use
	ignored    uint64
	userFull   uint64
	proxied    proxied.Stats
	tls        TLSStats
	cluster    cluster.Status
	start      Start
	inbox      inbox.Stats
	mercure    subscription.Stats
	webhooks   webhook.Status
	asking     ask.Stats
	trace      trace.Stats
	spans      otel.Stats
	upgrades   upgrade.Stats
}

func (c *collector) ask(ctx context.Context) (s state, err error) {
	s.hub, s.head, s.failing = c.source.HubStats(), c.source.LogHead(), c.source.LogFailing()
	s.presence, s.mercure = c.source.PresenceStats(), c.source.SubscriptionStats()
	s.bans, s.lostBans = c.source.Bans()
	s.limited = c.source.RateLimited()
	s.revoked = c.source.Revocations()
	s.memory = c.source.MemoryLevel()
	s.lost, s.lostAccess = c.source.LostLines(), c.source.LostAccessLines()
	s.keys, s.lostKeys = c.source.IdempotencyKeys()
	s.backends = c.source.KeyUses()
	s.userFull = c.source.UsersRefused()
	s.ignored, s.proxied = c.source.ForwardingIgnored(), c.source.ProxyHeaders()
	s.tls = c.source.TLSStats()
	s.cluster, s.start = c.source.ClusterStatus(), c.source.StartProgress()
	s.upgrades = c.source.UpgradeStats()
	if from, ok := c.source.(inboxed); ok {
		s.inbox, _ = from.InboxStats()
	}
	if from, ok := c.source.(hooked); ok {
		s.webhooks = from.WebhookStats()
	}
	if from, ok := c.source.(asker); ok {
		s.asking = from.AskStats()
	}
	if from, ok := c.source.(spanned); ok {
		s.spans = from.SpanStats()
	}
	if from, ok := c.source.(tracer); ok {
		if s.trace, err = from.TraceStats(ctx); err != nil {
			return s, err
		}
	}
	if s.loops, err = c.source.LoopStats(ctx); err != nil {
		return s, err
	}
	s.fronts, err = c.source.FrontStats(ctx)
	return s, err
}

// metric is one name. emit calls put once for each sample, with the values of
// the metric's labels.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	emit func(s *state, put func(v float64, labels ...string))
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range slices.Concat(metrics, tlsMetrics, clusterMetrics, inboxMetrics, webhookMetrics, traceMetrics, spanMetrics, askMetrics, startMetrics, upgradeMetrics) {
		out <- m.desc
	}
	out <- deliverySeconds
	out <- appendSeconds
	out <- tailSeconds
	out <- callSeconds
	out <- applySeconds
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
	defer cancel()
	s, err := c.ask(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(metrics[0].desc, err)
		return
	}
	for _, m := range slices.Concat(metrics, tlsMetrics, clusterMetrics, inboxMetrics, webhookMetrics, traceMetrics, spanMetrics, askMetrics, startMetrics, upgradeMetrics) {
		m.emit(&s, func(v float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(m.desc, m.kind, v, labels...)
		})
	}
	out <- latency(&s)
	out <- histogram(appendSeconds, &s.cluster.Append)
	out <- histogram(tailSeconds, &s.cluster.Tail)
	out <- histogram(callSeconds, &s.cluster.Call)
	out <- histogram(applySeconds, &s.cluster.Apply)
}

// desc of peal_name.
func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("peal_"+name, help, labels, nil)
}

// ofLoop is a metric with one sample for each loop.
func ofLoop(kind prometheus.ValueType, name, help string, of func(*loop.Stats) float64) metric {
	return metric{desc(name, help, "loop"), kind, func(s *state, put func(float64, ...string)) {
		for i := range s.loops {
			put(of(&s.loops[i]), strconv.Itoa(s.loops[i].Loop))
		}
	}}
}

func counter(name, help string, of func(*loop.Stats) float64) metric {
	return ofLoop(prometheus.CounterValue, name, help, of)
}

func gauge(name, help string, of func(*loop.Stats) float64) metric {
	return ofLoop(prometheus.GaugeValue, name, help, of)
}

// one is a metric with a single sample.
func one(kind prometheus.ValueType, name, help string, of func(*state) float64) metric {
	return metric{desc(name, help), kind, func(s *state, put func(float64, ...string)) { put(of(s)) }}
}

// by is a counter with one sample for each key of a map.
func by(label, name, help string, of func(*state) map[string]uint64) metric {
	return metric{desc(name, help, label), prometheus.CounterValue, func(s *state, put func(float64, ...string)) {
		for key, n := range of(s) {
			put(float64(n), key)
		}
	}}
}

var metrics = []metric{
	gauge("connections", "Open connections.", func(s *loop.Stats) float64 { return float64(s.Connections) }),
	{desc("transport_connections", "Open connections by their current use.", "transport"), prometheus.GaugeValue, transports},
	counter("connections_accepted_total", "Connections accepted.", func(s *loop.Stats) float64 { return float64(s.Accepted) }),
	counter("connections_refused_total", "Connections refused: beyond a limit of admission, or no descriptor left.", func(s *loop.Stats) float64 { return float64(s.Refused) }),
	by("reason", "admission_refused_total", "Connections refused by admission, by reason.", admissionRefused),
	one(prometheus.CounterValue, "user_connections_refused_total", "Streams, polls and WebSockets refused because their user had --max-connections-per-user.", func(s *state) float64 { return float64(s.userFull) }),
	one(prometheus.GaugeValue, "memory_level", "0; 1 while new connections are refused because of --memory-limit; 2 while publications are refused, too.", func(s *state) float64 { return float64(s.memory) }),
	one(prometheus.CounterValue, "accept_pauses_total", "Times that accepting paused because new connections came faster than --accept-rate.", func(s *state) float64 { return float64(s.admission().Pauses) }),
	one(prometheus.GaugeValue, "refusing_connections", "Refused connections that are open until they have their response.", func(s *state) float64 { return float64(s.admission().Open) }),
	one(prometheus.GaugeValue, "counted_addresses", "IPv4 addresses and IPv6 /64 that have connections and are limited.", func(s *state) float64 { return float64(s.admission().Addresses) }),
	counter("connections_dead_total", "Connections closed for silence.", func(s *loop.Stats) float64 { return float64(s.Dead) }),
	counter("connections_slow_total", "Connections closed as slow consumers, beyond --lane-bytes or --held-bytes.", func(s *loop.Stats) float64 { return float64(s.Slow) }),
	by("reason", "connections_evicted_total", "Connections closed because they held the most when a limit was reached, or for too long.", evictions),
	counter("connections_disconnected_total", "Connections ended by a request to disconnect their client, or to revoke its token.", func(s *loop.Stats) float64 { return float64(s.Dismissed) }),
	one(prometheus.GaugeValue, "disconnected_clients", "Disconnected clients that are kept away.", func(s *state) float64 { return float64(s.bans) }),
	one(prometheus.CounterValue, "disconnected_evicted_total", "Disconnected clients evicted before the end of their window, in favour of addresses that keep fewer away.", func(s *state) float64 { return float64(s.lostBans) }),
	one(prometheus.CounterValue, "connections_revoked_total", "Connections ended because their token was revoked.", func(s *state) float64 { return float64(s.fronts.Revoked) }),
	one(prometheus.CounterValue, "forwarding_ignored_total", "Times that a client that is not in trusted-proxies named another client, in a header of HTTP or of the PROXY protocol.", func(s *state) float64 { return float64(s.ignored) }),
	by("result", "proxy_headers_total", "Headers of the PROXY protocol from trusted proxies.", func(s *state) map[string]uint64 {
		return map[string]uint64{"read": s.proxied.Headers, "malformed": s.proxied.Malformed, "late": s.proxied.Late}
	}),
	one(prometheus.GaugeValue, "revocations", "Users and tokens that are revoked.", func(s *state) float64 { return float64(s.revoked.Names) }),
	one(prometheus.GaugeValue, "tokens_refused_before_seconds", "Tokens that were issued before this time (seconds since 1970) are refused, because it is not known which of them were revoked; 0 if all revocations are known.", func(s *state) float64 { return float64(s.revoked.Floor) }),
	one(prometheus.CounterValue, "revocations_folded_total", "Revocations that had no room when they were restored, so that all tokens of before are refused.", func(s *state) float64 { return float64(s.revoked.Folded) }),
	counter("heartbeats_total", "Heartbeats sent to silent streams.", func(s *loop.Stats) float64 { return float64(s.Heartbeats) }),
	counter("requests_total", "HTTP requests handled.", func(s *loop.Stats) float64 { return float64(s.Requests) }),
	counter("websocket_received_total", "WebSocket messages received.", func(s *loop.Stats) float64 { return float64(s.Received) }),
	by("code", "refusals_total", "Errors sent to clients, by code.", func(s *state) map[string]uint64 { return s.fronts.Refusals }),
	by("by", "rate_limited_total", "Publications and commands refused because they came too soon, by what has the limit.", func(s *state) map[string]uint64 { return s.limited }),
	by("code", "websocket_closes_total", "WebSockets that the server closed first, by close code.", closes),

	{desc("key_requests_total", "Requests that sent this key of a backend.", "key"), prometheus.CounterValue, func(s *state, put func(float64, ...string)) {
		for _, u := range s.backends {
			put(float64(u.Requests), u.Name)
		}
	}},
	{desc("key_last_use_seconds", "Time of the last request that sent this key of a backend, in seconds since 1970; 0 if there was none.", "key"), prometheus.GaugeValue, func(s *state, put func(float64, ...string)) {
		for _, u := range s.backends {
			put(float64(u.Second), u.Name)
		}
	}},

	by("way", "publications_total", "Messages accepted by the log.", func(s *state) map[string]uint64 { return s.fronts.Publications }),
	one(prometheus.GaugeValue, "idempotency_keys", "Idempotency keys in the table.", func(s *state) float64 { return float64(s.keys) }),
	one(prometheus.CounterValue, "idempotency_evicted_total", "Idempotency keys evicted before the end of their window, in favour of addresses with fewer keys.", func(s *state) float64 { return float64(s.lostKeys) }),
	one(prometheus.GaugeValue, "log_head_sequence", "Sequence of the newest message.", func(s *state) float64 { return float64(s.head) }),
	one(prometheus.GaugeValue, "log_failing", "1 while the log cannot write: its disk is full or failing, or its directory is missing.", func(s *state) float64 {
		if s.failing {
			return 1
		}
		return 0
	}),
	counter("deliveries_total", "Messages accepted by sockets, counted once for each subscriber.", func(s *loop.Stats) float64 { return float64(s.Fanout.Deliveries) }),
	counter("delivery_sends_total", "Send calls that carried messages.", func(s *loop.Stats) float64 { return float64(s.Fanout.Sends) }),
	counter("send_calls_total", "System calls that sent, responses and heartbeats included.", func(s *loop.Stats) float64 { return float64(s.SendCalls) }),
	counter("delivery_buffers_total", "Sends whose bytes were at another place in memory than those of the send before.", func(s *loop.Stats) float64 { return float64(s.Buffers) }),
	counter("encodings_total", "Encodings of messages: one per message and wire format in use, whatever the number of subscribers.", func(s *loop.Stats) float64 { return float64(s.Fanout.Encodings) }),
	counter("delivery_bytes_total", "Bytes of messages accepted by sockets.", func(s *loop.Stats) float64 { return float64(s.Fanout.Bytes) }),
	counter("sockets_full_total", "Times a socket was full.", func(s *loop.Stats) float64 { return float64(s.Fanout.Full) }),
	counter("gaps_total", "Gaps sent to clients.", func(s *loop.Stats) float64 { return float64(s.Fanout.Gaps + s.Foreign) }),
	by("reason", "gap_reasons_total", "Gaps sent to clients, by reason.", gapReasons),
	gauge("behind_connections", "Connections waiting for their turn to catch up.", func(s *loop.Stats) float64 { return float64(s.Fanout.Behind) }),

	one(prometheus.GaugeValue, "channels", "Channels with subscribers or history.", func(s *state) float64 { return float64(s.hub.Channels) }),
	one(prometheus.GaugeValue, "history_messages", "Messages in the history.", func(s *state) float64 { return float64(s.hub.Messages) }),
	one(prometheus.GaugeValue, "history_bytes", "Bytes of the history, as its limits count them.", func(s *state) float64 { return float64(s.hub.Bytes) }),
	one(prometheus.CounterValue, "history_evicted_total", "Messages dropped to keep all histories within their total.", func(s *state) float64 { return float64(s.hub.Evicted) }),
	one(prometheus.GaugeValue, "forgotten_channels", "Channels without subscribers and history whose lost messages are remembered exactly.", func(s *state) float64 { return float64(s.hub.Forgotten) }),
	one(prometheus.CounterValue, "forgotten_folded_total", "Forgotten channels that share a mark with others, so that older cursors may get a false gap.", func(s *state) float64 { return float64(s.hub.Folded) }),
	gauge("encoded_bytes", "Bytes of encodings kept with messages, so that further subscribers need not encode them again.", func(s *loop.Stats) float64 { return float64(s.Fanout.Encoded) }),
	gauge("held_bytes", "Bytes held for single connections: half-sent messages and private items.", func(s *loop.Stats) float64 { return float64(s.Fanout.Held) }),
	gauge("waiting_bytes", "Bytes of messages that a loop keeps ready while they wait for their turn to be sent.", func(s *loop.Stats) float64 { return float64(s.Fanout.Waiting) }),
	gauge("unfinished_requests", "Requests that began to come and are not complete.", func(s *loop.Stats) float64 { return float64(s.Heads) }),
	counter("input_paused_total", "Times that reading from a connection paused for --rate-input-bytes.", func(s *loop.Stats) float64 { return float64(s.Slowed) }),
	gauge("input_bytes", "Bytes of unread and unfinished input.", func(s *loop.Stats) float64 { return float64(s.InputBytes) }),

	one(prometheus.GaugeValue, "presence_members", "Clients that are listed, on each of their channels.", func(s *state) float64 { return float64(s.presence.Members) }),
	one(prometheus.GaugeValue, "presence_bytes", "Memory of presence, as its limit counts it.", func(s *state) float64 { return float64(s.presence.Bytes) }),
	one(prometheus.CounterValue, "presence_unlisted_total", "Clients with a name for which the list of a channel had no room.", func(s *state) float64 { return float64(s.presence.Unlisted) }),
	one(prometheus.CounterValue, "presence_evicted_total", "Members removed from a list to make room for clients of addresses with fewer members.", func(s *state) float64 { return float64(s.presence.Evicted) }),
	one(prometheus.CounterValue, "presence_events_total", "Join and leave events.", func(s *state) float64 { return float64(s.presence.Events) }),

	one(prometheus.GaugeValue, "mercure_subscriptions", "Subscriptions of the Mercure protocol that are listed.", func(s *state) float64 { return float64(s.mercure.Active) }),
	one(prometheus.CounterValue, "mercure_subscriptions_unlisted_total", "Subscriptions of the Mercure protocol for which the list had no room.", func(s *state) float64 { return float64(s.mercure.Unlisted) }),
	one(prometheus.GaugeValue, "mercure_subscriptions_elsewhere", "Subscriptions of the Mercure protocol on other nodes that are listed.", func(s *state) float64 { return float64(s.mercure.Elsewhere) }),
	one(prometheus.CounterValue, "mercure_subscriptions_refused_total", "Beginnings of subscriptions of the Mercure protocol on other nodes for which the list had no room.", func(s *state) float64 { return float64(s.mercure.Refused) }),
	one(prometheus.CounterValue, "mercure_subscription_events_total", "Updates about the beginning and end of subscriptions.", func(s *state) float64 { return float64(s.mercure.Events) }),

	one(prometheus.CounterValue, "logging_lost_lines_total", "Lines of the server's own log that its reader did not receive.", func(s *state) float64 { return float64(s.lost) }),
	one(prometheus.CounterValue, "access_log_lost_lines_total", "Lines of the access log that were left out.", func(s *state) float64 { return float64(s.lostAccess) }),

	counter("turns_total", "Turns of the loop.", func(s *loop.Stats) float64 { return float64(s.Turns) }),
	counter("deferred_total", "Times that the input of a connection waited for another turn, because the connection had used its part of this one, or its input is expensive and the loop is busy.", func(s *loop.Stats) float64 { return float64(s.Deferred) }),
	counter("loop_busy_seconds_total", "Time the loop has worked, not waited for events.", func(s *loop.Stats) float64 { return s.Busy.Seconds() }),
	gauge("loop_lag_seconds", "Time until the loop came to the question of this scrape.", func(s *loop.Stats) float64 { return s.Lag.Seconds() }),
	gauge("loop_behind_messages", "Messages accepted by the log that the loop has not taken yet.", func(s *loop.Stats) float64 { return float64(s.Behind) }),
}

var deliverySeconds = desc("delivery_seconds", "From accepted by the log to handed to the kernel for the last subscriber that was due; once for each message and each set of channels subscribed to, in each loop.")

// latency is the histogram of all loops together.
func latency(s *state) prometheus.Metric {
	var all fanout.Latency
	for i := range s.loops {
		all.Add(&s.loops[i].Fanout.Latency)
	}
	count := uint64(0)
	buckets := make(map[float64]uint64, len(fanout.LatencyBounds))
	for i, bound := range fanout.LatencyBounds {
		count += all.Counts[i]
		buckets[bound.Seconds()] = count
	}
	count += all.Counts[len(fanout.LatencyBounds)]
	return prometheus.MustNewConstHistogram(deliverySeconds, count, all.Sum.Seconds(), buckets)
}

func transports(s *state, put func(float64, ...string)) {
	var sum loop.Transports
	for i := range s.loops {
		sum.Add(s.loops[i].Transports)
	}
	put(float64(sum.WebSocket), "websocket")
	put(float64(sum.SSE), "sse")
	put(float64(sum.Poll), "poll")
	put(float64(sum.HTTP), "http")
}

// admission is what the loop that accepts has counted.
func (s *state) admission() admit.Stats {
	for i := range s.loops {
		if a := s.loops[i].Admission; a.Refused != nil {
			return a
		}
	}
	return admit.Stats{}
}

// admissionRefused has an entry for each reason.
func admissionRefused(s *state) map[string]uint64 {
	all := map[string]uint64{}
	for _, r := range admit.Reasons() {
		all[r.String()] = s.admission().Refused[r.String()]
	}
	return all
}

// evictions are those of all loops by the limit that was reached.
func evictions(s *state) map[string]uint64 {
	sum := map[string]uint64{}
	for i := range s.loops {
		l := &s.loops[i]
		sum["input"] += l.InputFull
		sum["channels"] += l.ChannelsFull
		sum["message"] += l.MessageLate
		sum["memory"] += l.Shed
		sum["frames"] += l.Flooded
		sum["heads"] += l.HeadsFull
		sum["lane"] += l.Fanout.LaneFull
		sum["held"] += l.Fanout.HeldFull
	}
	return sum
}

// gapReasons are the gaps of all loops by reason.
func gapReasons(s *state) map[string]uint64 {
	sum := map[string]uint64{}
	for i := range s.loops {
		for reason, n := range s.loops[i].Gaps {
			sum[reason] += n
		}
	}
	return sum
}

// closes are close frames by code, those of the loops and those sent right
// after a handshake.
func closes(s *state) map[string]uint64 {
	sum := map[string]uint64{}
	add := func(from map[int]uint64) {
		for code, n := range from {
			label := "other"
			if code != 0 {
				label = strconv.Itoa(code)
			}
			sum[label] += n
		}
	}
	add(s.fronts.Closes)
	for i := range s.loops {
		add(s.loops[i].Closes)
	}
	return sum
}

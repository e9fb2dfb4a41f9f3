package admin

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"peal/server/cluster"
)

// serveCluster responds with the status of the nodes as JSON: see cluster.Status.
func serveCluster(s Source, w http.ResponseWriter, r *http.Request) {
	status := s.ClusterStatus()
	ctx, cancel := context.WithTimeout(r.Context(), scrapeLimit)
	defer cancel()
	loops, err := s.LoopStats(ctx)
	for i := range status.Nodes {
		if n := &status.Nodes[i]; n.Self && err == nil { // newer than its last heartbeat
			n.Connections = 0
			for j := range loops {
				n.Connections += loops[j].Connections
			}
		}
	}
	body, err := json.Marshal(status)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(body, '\n'))
}

// clusterMetrics are those of a log that several nodes share; with a log of its own a server
// is the only node, and never behind.
var clusterMetrics = []metric{
	{desc("nodes", "Nodes of the log, by what this one knows of them; those that are gone for an hour.", "state"), prometheus.GaugeValue, func(s *state, put func(float64, ...string)) {
		for state, n := range s.cluster.States() {
			put(float64(n), state)
		}
	}},
	one(prometheus.CounterValue, "nodes_skipped_total", "Entries about nodes that were skipped: malformed, or of more nodes than there is room for.", func(s *state) float64 { return float64(s.cluster.Skipped) }),
	one(prometheus.GaugeValue, "log_lag_entries", "Entries that the store of the log has and this node has not applied.", func(s *state) float64 {
		return float64(max(s.cluster.Log.Known, s.cluster.Log.Head) - s.cluster.Log.Head)
	}),
	one(prometheus.GaugeValue, "log_lag_seconds", "Time since this node knew that it had applied everything that the store has.", func(s *state) float64 { return float64(s.cluster.Log.Behind) / 1000 }),
	one(prometheus.CounterValue, "log_reconnects_total", "Connections to the store of the log that were replaced.", func(s *state) float64 { return float64(s.cluster.Log.Reconnects) }),
	one(prometheus.CounterValue, "log_epochs_total", "Epochs of the log that began while the node ran: the store was restarted or replaced.", func(s *state) float64 { return float64(s.cluster.Log.Epochs) }),
	one(prometheus.CounterValue, "log_lost_total", "Times that entries which a node had shown were lost by the store.", func(s *state) float64 { return float64(s.cluster.Log.Lost) }),
	one(prometheus.GaugeValue, "presence_cluster_members", "Clients that are listed on all nodes of the log, on each of their channels; 0 with a log of its own.", func(s *state) float64 { return float64(s.presence.Cluster.Members) }),
	one(prometheus.GaugeValue, "presence_cluster_bytes", "Memory of the copy that this node has of them.", func(s *state) float64 { return float64(s.presence.Cluster.Bytes) }),
	one(prometheus.CounterValue, "presence_cluster_refused_total", "Members of other nodes that were left out, because the copy had twice what the limits of this node allow.", func(s *state) float64 { return float64(s.presence.Cluster.Refused) }),
	one(prometheus.GaugeValue, "presence_missing_nodes", "Nodes of the log whose members this one does not know yet: its lists are incomplete.", func(s *state) float64 { return float64(s.presence.Cluster.Missing) }),
	one(prometheus.CounterValue, "log_skipped_total", "Entries of the log that could not be read, and were skipped.", func(s *state) float64 { return float64(s.cluster.Log.Skipped) }),
}

var (
	appendSeconds = desc("log_append_seconds", "From the append of a heartbeat of this node until it has applied it: a sample each second of what publishers wait for.")
	callSeconds   = desc("log_call_seconds", "From sending a call to the store of the log until its answer; a call has the batches of many publishers.")
	applySeconds  = desc("log_apply_seconds", "From reading entries of the store of the log to having applied them.")
	tailSeconds   = desc("log_tail_seconds", "Age of the heartbeats of other nodes when this one applies them, in whole milliseconds, by the clocks of both machines.")
)

func histogram(d *prometheus.Desc, l *cluster.Latency) prometheus.Metric {
	count, buckets := uint64(0), make(map[float64]uint64, len(cluster.LatencyBounds))
	for i, bound := range cluster.LatencyBounds {
		count += l.Counts[i]
		buckets[bound.Seconds()] = count
	}
	count += l.Counts[len(cluster.LatencyBounds)]
	return prometheus.MustNewConstHistogram(d, count, l.Sum.Seconds(), buckets)
}

package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"peal/server/webhook"
)

// hooked is a Source that may have webhooks.
type hooked interface {
	WebhookStats() webhook.Status
	WebhookStatus(ctx context.Context) (webhook.Status, error)
	RetryWebhook(ctx context.Context, name, id string) (sent int, err error)
	DropWebhook(ctx context.Context, name, id string) (dropped int, err error)
}

// handleWebhooks adds the list of webhooks and their dead letters, and the orders about these.
func handleWebhooks(mux *http.ServeMux, s hooked) {
	mux.HandleFunc("GET /webhooks", func(w http.ResponseWriter, r *http.Request) {
		status, err := s.WebhookStatus(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		body, err := json.Marshal(status)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(append(body, '\n'))
	})
	order := func(done string, do func(ctx context.Context, name, id string) (int, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			n, err := do(r.Context(), q.Get("webhook"), q.Get("id"))
			text := fmt.Sprintf("%d dead letters %s", n, done)
			switch {
			case errors.Is(err, webhook.ErrNoLetter):
				http.Error(w, err.Error(), http.StatusNotFound)
			case err != nil:
				http.Error(w, text+"; "+err.Error(), http.StatusBadGateway)
			default:
				fmt.Fprintln(w, text)
			}
		}
	}
	mux.HandleFunc("POST /webhooks/retry", order("were delivered", s.RetryWebhook))
	mux.HandleFunc("POST /webhooks/drop", order("were dropped", s.DropWebhook))
}

// webhookMetrics have one sample for each webhook of the configuration, at most 100.
var webhookMetrics = []metric{
	ofWebhook("webhook_delivered_total", prometheus.CounterValue, "Events that this node delivered to a webhook.", func(w *webhook.Stat) float64 { return float64(w.Delivered) }),
	ofWebhook("webhook_failed_total", prometheus.CounterValue, "Requests of this node to a webhook that were no delivery.", func(w *webhook.Stat) float64 { return float64(w.Failed) }),
	ofWebhook("webhook_retried_total", prometheus.CounterValue, "Requests to a webhook that were, or will be, repeated.", func(w *webhook.Stat) float64 { return float64(w.Retried) }),
	ofWebhook("webhook_dead_total", prometheus.CounterValue, "Events that were given up after retry-for, and are dead letters.", func(w *webhook.Stat) float64 { return float64(w.Dead) }),
	ofWebhook("webhook_lag_entries", prometheus.GaugeValue, "Entries of the log behind the position of a webhook while a request is on its way, else 0.", func(w *webhook.Stat) float64 { return float64(w.Lag) }),
	ofWebhook("webhook_lag_seconds", prometheus.GaugeValue, "Age of the newest event of the request that is on its way, 0 without one.", func(w *webhook.Stat) float64 { return float64(w.Age) / 1000 }),
	ofWebhook("webhook_deliverer", prometheus.GaugeValue, "1 on the node that delivers a webhook, 0 on others.", func(w *webhook.Stat) float64 {
		if w.Delivers {
			return 1
		}
		return 0
	}),
	one(prometheus.CounterValue, "webhook_letters_dropped_total", "Dead letters for which there was no room, and that are lost.", func(s *state) float64 { return float64(s.webhooks.Dropped) }),
	one(prometheus.CounterValue, "webhook_untracked_total", "Times that a channel or a member was not reported to webhooks, because there were webhook-names others.", func(s *state) float64 { return float64(s.webhooks.Untracked) }),
}

func ofWebhook(name string, kind prometheus.ValueType, help string, of func(*webhook.Stat) float64) metric {
	return metric{desc(name, help, "webhook"), kind, func(s *state, put func(float64, ...string)) {
		for i := range s.webhooks.Webhooks {
			put(of(&s.webhooks.Webhooks[i]), s.webhooks.Webhooks[i].Name)
		}
	}}
}

package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"peal/server/inspect"
)

// inspected is a Source whose connections can be inspected, and the operator's to act on. Errors
// are of inspect.Error, or faults of the server.
type inspected interface {
	// Inspect returns a page of connections, and InspectOne one of them, or how it has ended.
	Inspect(ctx context.Context, q inspect.Query) (inspect.Page, error)
	InspectOne(ctx context.Context, session string) (*inspect.Connection, *inspect.Gone, error)

	// Ends returns the newest streams and waiting polls that have ended.
	Ends(ctx context.Context, q inspect.Query) (inspect.Ends, error)
	InspectChannel(name string) (inspect.Channel, error)
	Top(ctx context.Context, n int) (inspect.Top, error)
	MemoryLimit() int

	// Left is closed when another process has taken over.
	Left() <-chan struct{}

	EndConnection(ctx context.Context, session string) error
	DisconnectClient(ctx context.Context, o inspect.Order) (inspect.Disconnected, error)
	SendTest(ctx context.Context, m inspect.Message) (inspect.Sent, error)
}

const (
	inspectLimit = 10 * time.Second // how long a request may look at connections
	orderLimit   = 10 * time.Second
	mostBody     = 2 << 20 // bytes of a request
)

// handleInspection adds what can be seen of connections and channels, and the orders about them.
func handleInspection(mux *http.ServeMux, s inspected) {
	mux.HandleFunc("GET /connections", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, inspectLimit, func(ctx context.Context, values url.Values) (any, error) {
			q, err := inspect.ParseQuery(values)
			if err != nil {
				return nil, err
			}
			return either(s.Inspect(ctx, q))
		})
	})
	mux.HandleFunc("GET /connections/ended", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, inspectLimit, func(ctx context.Context, values url.Values) (any, error) {
			if err := inspect.Known(values, "user", "address", "limit"); err != nil {
				return nil, err
			}
			q, err := inspect.ParseQuery(values)
			if err != nil {
				return nil, err
			}
			return either(s.Ends(ctx, q))
		})
	})
	mux.HandleFunc("GET /connections/{session}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, inspectLimit, func(ctx context.Context, values url.Values) (any, error) {
			if err := inspect.Known(values); err != nil {
				return nil, err
			}
			c, gone, err := s.InspectOne(ctx, r.PathValue("session"))
			if err == nil && c == nil {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusNotFound)
				return gone, nil
			}
			return either(c, err)
		})
	})
	mux.HandleFunc("GET /channel", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, inspectLimit, func(_ context.Context, values url.Values) (any, error) {
			if err := inspect.Known(values, "name"); err != nil {
				return nil, err
			}
			return either(s.InspectChannel(values.Get("name")))
		})
	})
	mux.HandleFunc("POST /connections/{session}/disconnect", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, orderLimit, func(ctx context.Context, values url.Values) (any, error) {
			if err := inspect.Known(values); err != nil {
				return nil, err
			}
			return map[string]int{"disconnected": 1}, s.EndConnection(ctx, r.PathValue("session"))
		})
	})
	mux.HandleFunc("POST /disconnect", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, orderLimit, func(ctx context.Context, _ url.Values) (any, error) {
			var o inspect.Order
			if err := readBody(w, r, &o); err != nil {
				return nil, err
			}
			return either(s.DisconnectClient(ctx, o))
		})
	})
	mux.HandleFunc("POST /publish", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, orderLimit, func(ctx context.Context, _ url.Values) (any, error) {
			var m inspect.Message
			if err := readBody(w, r, &m); err != nil {
				return nil, err
			}
			return either(s.SendTest(ctx, m))
		})
	})
}

// either is v, or nothing if there is an error.
func either[T any](v T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

// answer responds with the JSON of what do returns, or of the error.
func answer(w http.ResponseWriter, r *http.Request, limit time.Duration, do func(ctx context.Context, values url.Values) (any, error)) {
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	w.Header().Set("Cache-Control", "no-store")
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		refuse(w, &inspect.Error{Status: http.StatusBadRequest, Code: "bad_parameter", Message: "the query of the URL cannot be read: " + err.Error()})
		return
	}
	v, err := do(ctx, values)
	if isError(err) {
		refuse(w, err)
		return
	}
	writeJSON(w, v)
}

// isError reports whether there is an error, behind a nil *inspect.Error, too.
func isError(err error) bool {
	var e *inspect.Error
	return err != nil && (!errors.As(err, &e) || e != nil)
}

func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // the client may be gone
}

// refuse responds with an error in the form of the public listener.
func refuse(w http.ResponseWriter, err error) {
	var e *inspect.Error
	if !errors.As(err, &e) {
		e = &inspect.Error{Status: http.StatusInternalServerError, Code: "internal", Message: err.Error()}
	}
	body, _ := json.Marshal(map[string]any{"error": map[string]string{"code": e.Code, "message": e.Message}}) // of strings: cannot fail
	w.Header().Set("Content-Type", "application/json")
	if e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(e.Status)
	_, _ = w.Write(append(body, '\n'))
}

// readBody reads a JSON object of a request into v.
func readBody(w http.ResponseWriter, r *http.Request, v any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &inspect.Error{Status: http.StatusUnsupportedMediaType, Code: "not_json", Message: "send a JSON object with Content-Type: application/json"}
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostBody))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, end := d.Token(); end != io.EOF {
			err = errors.New("there is more behind the object")
		}
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return &inspect.Error{Status: http.StatusRequestEntityTooLarge, Code: "too_large", Message: fmt.Sprintf("a request has at most %d bytes", mostBody)}
	case err != nil:
		return &inspect.Error{Status: http.StatusBadRequest, Code: "bad_json", Message: "the body is not the JSON object that is expected here: " + err.Error()}
	}
	return nil
}

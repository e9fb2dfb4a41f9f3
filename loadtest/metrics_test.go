package loadtest

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

func TestReadMetrics(t *testing.T) {
	pages := map[string]string{
		"/metrics": "# HELP sends x\n# TYPE sends counter\nsends{loop=\"0\"} 10\nsends{loop=\"1\"} 1.2e1 1234\nsends_other 7\nodd{code=\"a b}\"} 3\n",
		"/broken":  "sends x\n",
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, known := pages[r.URL.Path]
		if !known {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, text)
	}))
	defer web.Close()
	defer http.DefaultClient.CloseIdleConnections()
	v, err := ReadMetrics(t.Context(), web.URL+"/metrics")
	if err != nil || len(v) != 3 || !slices.Equal(v["sends"], []float64{10, 12}) || !slices.Equal(v["sends_other"], []float64{7}) || !slices.Equal(v["odd"], []float64{3}) {
		t.Errorf("%v, %v", v, err)
	}
	if v, err := ReadMetrics(t.Context(), web.URL+"/broken"); err == nil {
		t.Errorf("a sample that is no number was read: %v", v)
	}
	if _, err := ReadMetrics(t.Context(), web.URL+"/none"); !errors.Is(err, ErrStatus) {
		t.Errorf("%v, want a status", err)
	}
}

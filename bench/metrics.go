package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Metrics says where a server tells about itself, in Prometheus' text format.
// Rows that need a name that is empty are left out.
type Metrics struct {
	URL             string // {admin} is replaced by host:port of the admin listener, {addr} by that of the public one
	LoopConnections string // gauge with one sample per loop
}

// PealMetrics is where Peal shows them.
var PealMetrics = Metrics{URL: "http://{admin}/metrics", LoopConnections: "peal_connections"}

// of reports whether s shows metrics.
func (m Metrics) of(s *Server) bool {
	return m.URL != "" && (s.Admin != "" || !strings.Contains(m.URL, "{admin}"))
}

// Imbalance returns by how much the fullest loop has more connections than the
// emptiest, in percent of the mean.
func (m Metrics) Imbalance(ctx context.Context, s *Server) (percent float64, err error) {
	v, err := m.read(ctx, s, m.LoopConnections)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	if sum == 0 {
		return 0, fmt.Errorf("metric %s: no connections", m.LoopConnections)
	}
	return 100 * (slices.Max(v) - slices.Min(v)) / (sum / float64(len(v))), nil
}

// read returns all samples of one metric.
func (m Metrics) read(ctx context.Context, s *Server, name string) (v []float64, err error) {
	url := strings.NewReplacer("{admin}", s.Admin, "{addr}", s.Addr).Replace(m.URL)
	err = get(ctx, url, func(body io.Reader) error {
		v, err = parseMetric(body, name)
		return err
	})
	return v, err
}

// sums returns the sum of all samples of each metric.
func (m Metrics) sums(ctx context.Context, s *Server) (v map[string]float64, err error) {
	url := strings.NewReplacer("{admin}", s.Admin, "{addr}", s.Addr).Replace(m.URL)
	err = get(ctx, url, func(body io.Reader) error {
		v, err = parseSums(body)
		return err
	})
	return v, err
}

// errStatus: the server answered, and not with 200.
var errStatus = errors.New("no such page")

// get gives the answer's body to read.
func get(ctx context.Context, url string, read func(body io.Reader) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("read metrics: %w", err)
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("read metrics from %s: %w: %s", url, errStatus, answer.Status)
	}
	return read(answer.Body)
}

func parseMetric(r io.Reader, name string) (v []float64, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		fields := strings.Fields(rest[strings.LastIndexByte(rest, '}')+1:])
		if len(fields) == 0 {
			continue
		}
		x, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			return nil, fmt.Errorf("metric %s: %w", name, err)
		}
		v = append(v, x)
	}
	if len(v) == 0 && lines.Err() == nil {
		return nil, fmt.Errorf("metric %s is not there", name)
	}
	return v, lines.Err()
}

// parseSums adds up the samples of each metric, whatever their labels.
func parseSums(r io.Reader) (map[string]float64, error) {
	v := map[string]float64{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		end := strings.IndexAny(line, "{ ")
		if end <= 0 || line[0] == '#' {
			continue
		}
		fields := strings.Fields(line[max(end, strings.LastIndexByte(line, '}')+1):])
		if len(fields) == 0 {
			continue
		}
		x, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			return nil, fmt.Errorf("metric %s: %w", line[:end], err)
		}
		v[line[:end]] += x
	}
	return v, lines.Err()
}

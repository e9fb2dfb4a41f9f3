package loadtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrStatus means that the response of Get has another status than 200.
var ErrStatus = errors.New("no such page")

// Get returns the body of a response, of a server's admin listener for example. It
// takes 5 s at most.
func Get(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err // it names the URL
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: %w: %s", url, ErrStatus, response.Status)
	}
	return io.ReadAll(response.Body)
}

// ReadMetrics reads metrics in Prometheus' text format and returns all samples of
// each metric, whatever their labels.
func ReadMetrics(ctx context.Context, url string) (map[string][]float64, error) {
	b, err := Get(ctx, url)
	if err != nil {
		return nil, err
	}
	return parseMetrics(b)
}

func parseMetrics(b []byte) (map[string][]float64, error) {
	all := map[string][]float64{}
	for line := range strings.Lines(string(b)) {
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
		all[line[:end]] = append(all[line[:end]], x)
	}
	return all, nil
}

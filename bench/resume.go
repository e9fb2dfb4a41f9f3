package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"peal/loadtest"
)

// resume publishes first and lets clients resume afterwards. It returns the growth
// of the server's peak memory in MB, the seconds until all had caught up, the CPU
// seconds of the server, and the longest request of a probe in milliseconds.
func (c *Config) resume(ctx context.Context, s *Server) (sample Sample, err error) {
	cursor, err := publishHistory(ctx, s.Addr)
	if err != nil {
		return nil, err
	}
	if err := loadtest.ResetPeak(s.PID); err != nil {
		return nil, err
	}
	before, cpuBefore, err := usage(s.PID)
	if err != nil {
		return nil, err
	}
	slowest := probe(s.Addr)
	began := time.Now()
	err = withPool(ctx, s, loadtest.Spec{Connections: c.Resuming, Channels: 1, Window: 1024, Cursor: cursor}, func(pool *loadtest.Pool) error {
		published := []uint64{resumeMessages}
		if _, err := pool.Await(ctx, published, time.Minute); err != nil {
			return err
		}
		took := time.Since(began)
		stall, err := slowest()
		if err != nil {
			return err
		}
		after, cpuAfter, err := usage(s.PID)
		if err != nil {
			return err
		}
		received, err := pool.Report(ctx, published)
		if err != nil {
			return err
		}
		sample = Sample{(float64(after.Peak) - float64(before.Total)) / 1e6, took.Seconds(), (cpuAfter - cpuBefore).Seconds(), float64(stall) / 1e6}
		_, err = clean(loadtest.Result{Received: received}, nil)
		return err
	})
	return sample, err
}

func usage(pid int) (loadtest.Memory, time.Duration, error) {
	m, err := loadtest.ReadMemory(pid)
	if err != nil {
		return m, 0, err
	}
	cpu, err := loadtest.CPUTime(pid)
	return m, cpu, err
}

// publishHistory publishes resumeMessages and returns the cursor before them. The
// messages are stamped as run 1, which is the first run of a new pool.
func publishHistory(ctx context.Context, addr string) (cursor string, err error) {
	publisher, err := loadtest.DialPublisher(ctx, loadtest.PublishTarget{Endpoint: loadtest.Endpoint{Addr: addr}, Path: loadtest.PublishPath("c")})
	if err != nil {
		return "", err
	}
	defer publisher.Close()
	answer, err := publisher.Publish(0, []byte("before"))
	if err != nil {
		return "", err
	}
	var response struct{ Cursor string }
	if err := json.Unmarshal(answer, &response); err != nil || response.Cursor == "" {
		return "", fmt.Errorf("publish: no cursor in %.200q", answer)
	}
	for i := range uint64(resumeMessages) {
		m := loadtest.AppendMessage(nil, loadtest.Stamp{Run: 1, Sequence: i + 1, Scheduled: loadtest.Now()}, messageBytes)
		if _, err := publisher.Publish(0, m); err != nil {
			return "", err
		}
	}
	return response.Cursor, nil
}

// probe makes one request after another until slowest is called, which returns the
// longest. The loop that owns the connection answers each by itself.
func probe(addr string) (slowest func() (time.Duration, error)) {
	stop, ended := make(chan struct{}), make(chan struct{})
	var longest time.Duration
	var failed error
	go func() { // ends with slowest
		defer close(ended)
		for failed == nil {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			began := time.Now()
			response, err := http.Get("http://" + addr + "/channels/none")
			if failed = err; err == nil {
				_, failed = io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
			longest = max(longest, time.Since(began))
		}
	}()
	return func() (time.Duration, error) {
		close(stop)
		<-ended
		return longest, failed
	}
}

package bench

import (
	"bufio"
	"bytes"
	"context"
	_ "embed" // for the configuration of nginx
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"peal/bench/record"
)

//go:embed return.nginx.conf
var returnConf string

// returningExperiments compare publications over HTTP that have no subscribers with what nginx does at least for a
// request: `return 200`, without a file, a log or another process. Its response is as long as Peal's. nginx
// reads the body of a POST and drops it; it comes in the same read as the head. Both have one thread.
func (c *Config) returningExperiments() (all []Experiment) {
	nginx, missing := exec.LookPath("nginx")
	for _, publishers := range []int{64, 256} {
		few := *c
		few.Publishers = publishers
		a := c.Peal
		if a != nil && a.Bare { // the ceiling of publications against nginx
			a = c.Publishing
		}
		e := Experiment{
			Key: fmt.Sprintf("publish-nginx-%d", publishers),
			Rows: []record.Row{
				{What: fmt.Sprintf("publications per server-CPU-second, HTTP keep-alive, one loop, %d publishers, %d channels without subscribers; B: requests to nginx, one worker, `return 200`", publishers, c.Channels),
					Unit: "1/s", Target: record.AtLeast(record.Ratio, 1)},
				{What: fmt.Sprintf("publications per second, one loop, %d publishers", publishers), Unit: "1/s"},
			},
			A: func(ctx context.Context) (Sample, error) { return few.returned(ctx, a) },
			B: func(ctx context.Context) (Sample, error) {
				dir, err := os.MkdirTemp("", "peal-nginx-")
				if err != nil {
					return nil, err
				}
				defer os.RemoveAll(dir)
				file := filepath.Join(dir, "nginx.conf")
				if err := os.WriteFile(file, []byte(returnConf), 0o600); err != nil {
					return nil, err
				}
				const start = `sed "s|@DIR@|$1|; s|@PORT@|$2|" "$1/nginx.conf" > "$1/$2.conf" && exec "$0" -e stderr -p "$1" -c "$1/$2.conf"`
				return few.returned(ctx, &Command{Label: "nginx", Args: []string{"sh", "-c", start, nginx, dir, "{port}"}})
			},
		}
		if missing != nil {
			e.B, e.Rows[0].Target = nil, nil
			e.Rows[0].What += " (not measured: nginx is not installed here)"
		}
		all = append(all, e)
	}
	return all
}

// returned is the requests per second of CPU time of a server that l starts, and those per second.
func (c *Config) returned(ctx context.Context, l *Command) (Sample, error) {
	return OnServer(ctx, l, 1, func(s *Server) (Sample, error) {
		r, err := c.publications(ctx, s, requestLoad(c.Publishers, c.Channels), nil)
		if err != nil {
			return nil, err
		}
		n := float64(r.Published)
		return Sample{n / r.ServerCPU.Seconds(), n / r.Took.Seconds()}, nil
	})
}

// requestLoad is so many clients, each of which has one request under way, to the channels in turn.
func requestLoad(clients, channels int) publicationLoad {
	return publicationLoad{clients, func(ctx context.Context, s *Server, i int) (func() (int, error), func() error, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
		if err != nil {
			return nil, nil, err
		}
		r, channel := bufio.NewReader(conn), i
		body := bytes.Repeat([]byte("x"), messageBytes)
		var request []byte
		publish := func() (int, error) {
			channel = (channel + clients) % channels
			request = fmt.Appendf(request[:0], "POST /publish?channel=c%d HTTP/1.1\r\nHost: %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", channel, s.Addr, len(body), body)
			if err := conn.SetDeadline(time.Now().Add(publicationTime)); err != nil {
				return 0, err
			}
			if _, err := conn.Write(request); err != nil {
				return 0, err
			}
			if err := readOK(r); err != nil {
				return 0, fmt.Errorf("the response to a publication: %w", err)
			}
			return 1, nil
		}
		return publish, conn.Close, nil
	}}
}

// readOK reads a response with status 200 and a Content-Length.
func readOK(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("status line %q", line)
	}
	for length := -1; ; {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			if length < 0 {
				return errors.New("no Content-Length")
			}
			_, err = r.Discard(length)
			return err
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
}

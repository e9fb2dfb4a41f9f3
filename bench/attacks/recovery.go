package attacks

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"peal/loadtest"
)

// Resources are what a server has in use. Live is the heap after a collection: what the
// tables, histories and connections of the server need.
type Resources struct {
	Descriptors int
	Live        uint64 // bytes
}

// resources asks the server, which collects its garbage for it.
func (p *prey) resources(ctx context.Context) (r Resources, err error) {
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID))
	if err != nil {
		return r, err
	}
	r.Descriptors = len(open)
	b, err := loadtest.Get(ctx, "http://"+p.Admin+"/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		return r, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "# HeapAlloc = "); ok {
			r.Live, err = strconv.ParseUint(text, 10, 64)
			return r, err
		}
	}
	return r, fmt.Errorf("the heap profile of the server has no HeapAlloc")
}

// recoverWait is how long the server may take to give back what hostile clients had: it
// waits for some of them to hang up (linger-timeout).
const recoverWait = 15 * time.Second

// recovered waits until the server has no more descriptors than before, but for those of
// connections that are closing, and returns what it has then.
func (p *prey) recovered(ctx context.Context, before Resources) (after Resources, err error) {
	for end := time.Now().Add(recoverWait); ; {
		after, err = p.resources(ctx)
		if err != nil || after.Descriptors <= before.Descriptors+descriptorSlack || time.Now().After(end) {
			return after, err
		}
		select {
		case <-ctx.Done():
			return after, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// descriptorSlack is for the requests of the measurement itself.
const descriptorSlack = 4

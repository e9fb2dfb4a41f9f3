package endtoend_test

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// faults is what a proxy does to its clients.
type faults struct {
	down       bool // connections are closed as soon as they are accepted
	noUpgrades bool // WebSocket handshakes are answered 502, with a page
	deaf       bool // WebSocket handshakes are never answered
	buffered   bool // the bodies of event streams are kept to their end
}

// proxy stands between browser and server and has faults at will.
type proxy struct {
	t       *testing.T
	url     string
	refused chan struct{} // one for each connection while it was down

	mu       sync.Mutex
	addr     string // of the server
	faults   faults
	conns    map[net.Conn]bool
	upgrades int             // let through
	tokens   map[string]bool // seen, in whichever way
}

// proxyTo begins a proxy for the server at addr.
func proxyTo(t *testing.T, addr string) *proxy {
	t.Helper()
	p := &proxy{t: t, addr: addr, refused: make(chan struct{}, 1024), conns: map[net.Conn]bool{}, tokens: map[string]bool{}}
	transport := &http.Transport{}
	forward := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			p.mu.Lock()
			defer p.mu.Unlock()
			r.SetURL(&url.URL{Scheme: "http", Host: p.addr})
			r.Out.Host = r.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(forward, w, r) })}
	ended := make(chan struct{})
	go func() { // ends with the server
		defer close(ended)
		_ = server.Serve(&faultyListener{inner, p})
	}()
	t.Cleanup(func() {
		_ = server.Close() // leaves those that were upgraded
		p.set(faults{down: true})
		<-ended
		transport.CloseIdleConnections()
	})
	p.url = "http://" + inner.Addr().String()
	return p
}

// set replaces the faults. Connections that are open do not outlive it.
func (p *proxy) set(f faults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = f
	for c := range p.conns {
		_ = c.Close() // it may have ended
	}
	clear(p.conns)
}

// forwardTo puts another server behind the proxy.
func (p *proxy) forwardTo(addr string) {
	p.mu.Lock()
	p.addr = addr
	f := p.faults
	p.mu.Unlock()
	p.set(f)
}

// awaitRefused waits until so many more connections have found the proxy down.
func (p *proxy) awaitRefused(more int) {
	p.t.Helper()
	for len(p.refused) > 0 {
		<-p.refused // of before
	}
	limit := time.After(patience)
	for range more {
		select {
		case <-p.refused:
		case <-limit:
			p.t.Fatal("no client has found the proxy down")
		}
	}
}

func (p *proxy) serve(forward http.Handler, w http.ResponseWriter, r *http.Request) {
	upgrade := strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
	p.mu.Lock()
	f := p.faults
	if token := r.URL.Query().Get("token"); token != "" {
		p.tokens[token] = true
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		p.tokens[token] = true
	}
	if _, token, ok := strings.Cut(r.Header.Get("Sec-WebSocket-Protocol"), "peal.token."); ok {
		p.tokens[token] = true
	}
	if upgrade && !f.noUpgrades && !f.deaf {
		p.upgrades++
	}
	p.mu.Unlock()
	switch {
	case upgrade && f.noUpgrades:
		http.Error(w, "<h1>Bad gateway</h1>", http.StatusBadGateway)
		return
	case upgrade && f.deaf:
		<-r.Context().Done() // the client has given up
		return
	case f.buffered && r.URL.Path == "/sse":
		w = &hoarder{ResponseWriter: w}
	}
	forward.ServeHTTP(w, r)
}

// count returns the number of WebSockets that were let through.
func (p *proxy) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.upgrades
}

func (p *proxy) saw(token string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tokens[token]
}

// hoarder passes the head of an answer on and keeps its body.
type hoarder struct{ http.ResponseWriter }

func (h *hoarder) Write(b []byte) (int, error) { return len(b), nil }
func (h *hoarder) Flush()                      { h.ResponseWriter.(http.Flusher).Flush() }

// faultyListener knows the connections of its proxy, and closes them where it is down.
type faultyListener struct {
	net.Listener
	p *proxy
}

func (l *faultyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	if l.p.faults.down {
		_ = c.Close() // the next read says so
		select {
		case l.p.refused <- struct{}{}:
		default: // nobody counts that far
		}
	} else {
		l.p.conns[c] = true
	}
	return c, nil
}

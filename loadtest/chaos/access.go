package chaos

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"
)

// Access is how clients and publishers prove who they are, to a server that needs it:
// tokens, which the run signs, and a key, which may publish and revoke.
type Access struct{ Secret, Key string }

// What clients do with tokens.
const (
	shortestProof = 2 * time.Second
	longestProof  = 6 * time.Second
	spare         = time.Second // a proof that is valid for less is replaced before a connection

	narrowInPercent = 5  // of proofs lack one of the channels that the client asks for
	reduceInPercent = 20 // of renewals lack a channel that the client has
	retryInPercent  = 30 // of revoked proofs are presented once more

	revokePause = 50 * time.Millisecond

	// How long after its end a proof may still bring what was published meanwhile: the
	// server counts in seconds, and this machine is busy.
	endSlack = 5 * time.Second
)

// proof is one token of a client.
type proof struct {
	text, id string
	expires  time.Time
	granted  []int32
	narrow   bool // it lacks a channel that the client asks for
	retried  bool // it was revoked, and presented again. Of the client's goroutine.

	revoking atomic.Bool   // the server was asked to revoke it
	revoked  atomic.Uint64 // the first publication after the server's response, 0 before
}

// clientName is that of a client's tokens.
func clientName(number int) string { return fmt.Sprint("client-", number) }

// newProof signs a proof of the client for channels, valid from then for that long at least.
func (a *Access) newProof(client int, channels []int32, from time.Time, life time.Duration, id string) *proof {
	p := &proof{id: id, granted: channels, expires: from.Add(life).Truncate(time.Second).Add(time.Second)}
	patterns := []string{} // an empty list, and not null
	for _, n := range channels {
		patterns = append(patterns, channelName(n))
	}
	claims, err := json.Marshal(map[string]any{
		"sub": clientName(client), "jti": id, "iat": time.Now().Unix(), "exp": p.expires.Unix(),
		"peal": map[string]any{"subscribe": patterns},
	})
	if err != nil {
		panic(err) // strings and numbers
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256"}`)) + "." + encode(claims)
	sum := hmac.New(sha256.New, []byte(a.Secret))
	sum.Write([]byte(text))
	p.text = text + "." + encode(sum.Sum(nil))
	return p
}

// forbids is why a message may not come to a connection with that proof, "" if it may.
func (p *proof) forbids(l *ledger, of label) string {
	switch first := p.revoked.Load(); {
	case !slices.Contains(p.granted, of.channel):
		return "its token does not grant the channel"
	case first > 0 && of.id >= first:
		return "it was published after its token had been revoked"
	case l.began(of.id).After(p.expires.Add(endSlack)):
		return "it was published after its token had expired"
	}
	return ""
}

// over reports whether the server has a reason to end a connection with that proof.
func (p *proof) over() bool {
	return p.narrow || p.revoking.Load() || time.Until(p.expires) < spare
}

// prove gets a proof for the next connection, or keeps that of the one before.
func (c *client) prove() {
	if c.run.Access == nil {
		return
	}
	p := c.proof.Load()
	switch {
	case p == nil:
	case p.revoked.Load() > 0 && !p.retried && c.run.remembers() && c.rnd.IntN(100) < retryInPercent:
		p.retried = true
		return
	case !p.over() && covers(p.granted, c.channels):
		return
	}
	c.proof.Store(c.sign(time.Now(), narrowInPercent))
}

// sign signs a proof, of which so many percent lack a channel.
func (c *client) sign(from time.Time, lackInPercent int) *proof {
	granted := slices.Clone(c.channels)
	narrow := c.rnd.IntN(100) < lackInPercent
	if narrow {
		granted = slices.Delete(granted, 0, 1)
	}
	c.proofs++
	c.run.count(&c.run.figures.Tokens)
	p := c.run.Access.newProof(c.number, granted, from, shortestProof+rand.N(longestProof-shortestProof), fmt.Sprint(c.number, "-", c.proofs))
	p.narrow = narrow
	return p
}

// next implements renewal: a new token halfway to the end of the old one.
func (c *client) next() (text string, at time.Time) {
	at = time.Now().Add(time.Until(c.proof.Load().expires) / 2)
	c.coming = c.sign(at, reduceInPercent)
	return c.coming.text, at
}

// renewed implements renewal.
func (c *client) renewed(unsubscribed []string) {
	c.run.count(&c.run.figures.Renewals)
	var lacking []string
	for _, n := range c.channels {
		if !slices.Contains(c.coming.granted, n) {
			lacking = append(lacking, channelName(n))
		}
	}
	if !slices.Equal(lacking, unsubscribed) {
		c.rubbish("unsubscribed by a renewal: %q, want %q", unsubscribed, lacking)
	}
	c.proof.Store(c.coming)
	if len(lacking) > 0 {
		c.journal.connections[len(c.journal.connections)-1].reduced = true
	}
}

func covers(granted, channels []int32) bool {
	return !slices.ContainsFunc(channels, func(n int32) bool { return !slices.Contains(granted, n) })
}

// remembers reports whether a restart of the server forgets no revocation.
func (r *run) remembers() bool { return r.Keeps != AllOrCut && !r.Restore }

// revoke revokes proofs of clients until the run is ending.
func (r *run) revoke(ctx context.Context, clients []*client) {
	rnd := rand.New(rand.NewPCG(r.Seed, 1<<34))
	server, scheme := r.endpoint(0), "http://"
	web := &http.Client{Timeout: 5 * time.Second}
	if r.TLS != nil {
		scheme = "https://"
		web.Transport = &http.Transport{DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return server.Dial(ctx, "") }}
	}
	defer web.CloseIdleConnections()
	for ctx.Err() == nil && !isClosed(r.ending) {
		pause(ctx, revokePause)
		p := clients[rnd.IntN(len(clients))].proof.Load()
		if p == nil || p.revoking.Load() {
			continue
		}
		p.revoking.Store(true)
		request, err := http.NewRequestWithContext(ctx, "POST", scheme+server.Addr+"/revoke?jti="+url.QueryEscape(p.id), nil)
		if err != nil {
			r.fault("revoke: %v", err)
			return
		}
		request.Header.Set("Authorization", "Bearer "+r.Access.Key)
		answer, err := web.Do(request)
		if err != nil {
			continue // the server is being restarted: the proof may be revoked or not
		}
		_ = answer.Body.Close()
		switch answer.StatusCode {
		case http.StatusOK:
			p.revoked.Store(r.ledger.next())
			r.count(&r.figures.Revocations)
		case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		default:
			r.fault("revoke: status %d", answer.StatusCode)
		}
	}
}

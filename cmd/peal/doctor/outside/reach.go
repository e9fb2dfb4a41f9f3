package outside

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"peal/cmd/peal/doctor"
)

// Certificates that end sooner have missed their renewal: ACME renews a third of the
// life before its end.
const soon = 14 * 24 * time.Hour

// mostAddresses of a name are tried.
const mostAddresses = 16

// targets are the addresses that clients can connect to, each with the port.
func (e *examination) targets(ctx context.Context) ([]string, error) {
	host, port := e.URL.Hostname(), e.URL.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[e.URL.Scheme]
	}
	switch {
	case e.Connect != "":
		return []string{e.Connect}, nil
	case host == "localhost" || net.ParseIP(host) != nil: // a server of a developer need not have IPv6
		return []string{net.JoinHostPort(host, port)}, nil
	}
	resolve := e.Resolve
	if resolve == nil {
		resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, e.Patience)
	defer cancel()
	addrs, err := resolve(ctx, host)
	var list []string
	for _, a := range addrs[:min(len(addrs), mostAddresses)] {
		list = append(list, net.JoinHostPort(a.Unmap().String(), port))
	}
	return list, err
}

// reach connects to each address, and checks TLS at the first that responds. It reports
// false if nothing more can be checked.
func (e *examination) reach(ctx context.Context) bool {
	const check, why = "reachable", "clients cannot connect"
	targets, err := e.targets(ctx)
	if err != nil || len(targets) == 0 {
		e.add(doctor.Fail(check, fmt.Sprintf("%s has no address: %v", e.URL.Hostname(), err), why, "a DNS record for "+e.URL.Hostname()+"; to check the server before it exists: --connect ADDRESS:PORT"))
		return false
	}
	var conn net.Conn
	var reached, failed []string
	for _, at := range targets {
		began := time.Now()
		c, err := e.dialTo(ctx, at)
		if err != nil {
			failed = append(failed, err.Error())
			continue
		}
		reached = append(reached, fmt.Sprintf("%s in %s", at, time.Since(began).Round(10*time.Microsecond)))
		if conn != nil {
			c.Close()
			continue
		}
		conn, e.target = c, at
	}
	fix := "systemctl status peal and your proxy; ss -ltn (on the server) lists the ports; the firewall must allow them"
	if conn == nil {
		e.add(doctor.Fail(check, strings.Join(failed, "; "), why, fix))
		return false
	}
	defer conn.Close()
	if len(failed) > 0 {
		e.add(doctor.Warn(check, "connected to "+strings.Join(reached, ", ")+", but: "+strings.Join(failed, "; "), "clients that try this address first wait, or give up", "listen on all addresses (IPv4 and IPv6) of the name, or remove the DNS record of this one; "+fix))
	} else {
		e.fine(check, "connected to %s", strings.Join(reached, ", "))
	}
	if e.URL.Scheme == "https" {
		return e.checkTLS(ctx, conn)
	}
	if host := e.URL.Hostname(); host == "localhost" || net.ParseIP(host).IsLoopback() {
		e.skip("tls", "not used: %s is this machine", host)
		return true
	}
	e.add(doctor.Warn("tls", "not used", "everybody on the way can read tokens and messages, and many networks break WebSockets without TLS", "peal serve --tls-cert … --tls-key …, or a proxy that terminates TLS; then --url https://"+e.URL.Host))
	return true
}

func (e *examination) checkTLS(ctx context.Context, conn net.Conn) bool {
	const check = "tls"
	ctx, cancel := context.WithTimeout(ctx, e.Patience)
	defer cancel()
	secure := tls.Client(conn, e.tls("h2", "http/1.1"))
	if err := secure.HandshakeContext(ctx); err != nil {
		e.add(explain(check, e.URL.Hostname(), err))
		return false
	}
	state := secure.ConnectionState()
	e.protocol = state.NegotiatedProtocol
	leaf := state.PeerCertificates[0]
	left := time.Until(leaf.NotAfter)
	e.fine(check, "%s, the certificate is valid for %s", tls.VersionName(state.Version), e.URL.Hostname())
	if value := fmt.Sprintf("the certificate ends in %d days (%s)", int(left.Hours()/24), leaf.NotAfter.Format(time.DateOnly)); left < soon {
		e.add(doctor.Warn("tls-expiry", value, "after that no client connects", "renew it now, and look why it was not renewed by itself (certbot renew --dry-run, journalctl -u peal)"))
	} else {
		e.fine("tls-expiry", "%s", value)
	}
	e.oldTLS(ctx)
	e.httpVersion(ctx)
	return true
}

// explain is a handshake that failed, as a finding.
func explain(check, host string, err error) doctor.Finding {
	const why = "browsers refuse the connection"
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &name):
		return doctor.Fail(check, err.Error(), why, "a certificate that names "+host)
	case errors.As(err, &authority):
		f := doctor.Fail(check, err.Error(), why, "--ca FILE, if the authority is your own")
		if errors.As(err, &verification) && len(verification.UnverifiedCertificates) == 1 {
			if c := verification.UnverifiedCertificates[0]; c.CheckSignatureFrom(c) != nil {
				f.Value += "; the server sends one certificate, which another one than a root has signed"
				f.Fix = append(f.Fix, "send the whole chain: fullchain.pem in place of cert.pem (tls-cert, ssl_certificate, crt)")
			}
		}
		return f
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return doctor.Fail(check, err.Error(), why, "renew the certificate; if it is new, check the clock of this machine (date)")
	}
	return doctor.Fail(check, "the handshake failed: "+err.Error(), why, "the port may not speak TLS: try --url http://…; or the server allows no version from TLS 1.2 on")
}

// oldTLS checks whether versions are accepted that browsers have given up.
func (e *examination) oldTLS(ctx context.Context) {
	const check = "tls-versions"
	conn, err := e.dial(ctx)
	if err != nil {
		return // reported elsewhere
	}
	defer conn.Close()
	c := e.tls()
	c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if tls.Client(conn, c).HandshakeContext(ctx) == nil {
		e.add(doctor.Warn(check, "TLS 1.0 or 1.1 is accepted", "both are broken and no browser needs them", "nginx: ssl_protocols TLSv1.2 TLSv1.3;   HAProxy: ssl-default-bind-options ssl-min-ver TLSv1.2   Apache: SSLProtocol -all +TLSv1.2 +TLSv1.3"))
		return
	}
	e.fine(check, "TLS 1.2 and later only")
}

// httpVersion checks that HTTP/1.1 is there, which WebSockets of browsers need.
func (e *examination) httpVersion(ctx context.Context) {
	const check = "http-version"
	conn, err := e.connect(ctx)
	if err == nil {
		conn.Close()
		if e.protocol == "h2" {
			e.fine(check, "HTTP/2, and HTTP/1.1 for WebSockets")
		} else {
			e.fine(check, "HTTP/1.1")
		}
		return
	}
	e.plain = e.browser
	e.add(doctor.Fail(check, "HTTP/1.1 is not offered (ALPN): "+err.Error(), "the WebSockets of browsers and of most clients use HTTP/1.1", "offer both: nginx: listen 443 ssl http2;   HAProxy: bind … alpn h2,http/1.1"))
}

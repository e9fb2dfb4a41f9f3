package report

import "strings"

// tokenHint is what to change if the server asks for a proof.
const tokenHint = "a token may be needed: PEAL_TOKEN or --token and PEAL_KEY or --publish-key for a Peal, otherwise --header 'Authorization: …'"

// hints are what to change, by what an error contains.
var hints = []struct{ error, change string }{
	{" 401", tokenHint},
	{" 403", tokenHint},
	{" 4401", tokenHint},
	{" 4403", tokenHint},
	{" 404", "the path in --target or --publish may be another"},
	{" 405", "the path in --target or --publish may be another"},
	{"too many open files", "raise the limit of open files, of the server too: ulimit -n"},
	{"cannot assign requested address", "add local addresses: --source"},
	{"connection refused", "the server may not run, or have another address"},
}

// withHint adds to an error what to change.
func withHint(err string) string {
	for _, h := range hints {
		if strings.Contains(err, h.error) {
			return err + "; " + h.change
		}
	}
	return err
}

// failure is why a connection is not open. What a server closes after its handshake, as it
// does with a token that it refuses, is no error of the opening.
func (c *Connections) failure() string {
	if c.FirstError != "" || len(c.Ends) == 0 {
		return c.FirstError
	}
	return c.Ends[0].Reason
}

// fruitless finds what makes a run say little or nothing of the server, although the
// generator did its part.
func (r *Report) fruitless(fault func(string, ...any)) {
	c, m := r.Connections, r.Messages
	switch {
	case r.Aborted != "":
		fault("the run ended before its time: %s", withHint(r.Aborted))
		return
	case c.Opened == 0 && !r.Interrupted:
		fault("no connection could be opened: %s", withHint(c.failure()))
	case 2*c.Opened <= c.Wanted && !r.Interrupted:
		fault("%d of %d connections could not be opened: %s", c.Wanted-c.Opened, c.Wanted, withHint(c.failure()))
	}
	switch {
	case m == nil:
	case m.Scheduled == 0 && !r.Interrupted:
		fault("no message was due: --duration is too short for --rate")
	case m.Sent > 0 && m.Refused == m.Sent:
		fault("the server refused every message: %s", withHint(m.FirstRefusal))
	case m.Expected == 0 || m.Delivered > 0:
	case m.Damaged() > 0:
		fault("no message was delivered whole: %s", m.FirstDamage)
	case m.Foreign > 0:
		fault("no message of this run was delivered, but %d others, the first %s: if that has the published text in it, unwrap it with &format=json in the --target (Peal), or --extract; if not, the channel may be another",
			m.Foreign, m.FirstForeign)
	default:
		fault("no message was delivered: the channel of --target and --publish may differ, or the server may wait for a message from each client (--send) or a token (--header)")
	}
}

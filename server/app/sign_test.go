package app

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The credentials and the signatures of the public documentation of the protocol.
var golden = Definition{ID: "3", Key: "278d425bdf160c739803", Secret: "7ad3773142a6692b25b8"}

const (
	goldenPrivate  = "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"
	goldenPresence = "278d425bdf160c739803:31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80"
	goldenOld      = "278d425bdf160c739803:afaed3695da2ffd16931f457e338e6c9f2921fa133ce7dac49f529792be6304c"
	goldenUser     = "278d425bdf160c739803:4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba"
	goldenQuery    = "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0&body_md5=ec365a775a4cd0599faeb73354201b6f&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
	goldenBody     = `{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}`
)

func tableOf(t *testing.T, definitions ...Definition) *Table {
	t.Helper()
	if err := Validate(definitions); err != nil {
		t.Fatal(err)
	}
	table, err := New(definitions, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestSignaturesOfChannelsAndUsers(t *testing.T) {
	a := tableOf(t, golden).ByID("3")
	channels := "{\"user_id\":10,\"user_info\":{\"name\":\"Mr. Channels\"}}"
	pusher := "{\"user_id\":10,\"user_info\":{\"name\":\"Mr. Pusher\"}}"
	for _, c := range []struct {
		auth, socket, channel, data string
		want                        bool
	}{
		{goldenPrivate, "1234.1234", "private-foobar", "", true},
		{goldenPresence, "1234.1234", "presence-foobar", channels, true},
		{goldenOld, "1234.1234", "presence-foobar", pusher, true},
		{goldenPrivate, "1234.1235", "private-foobar", "", false},
		{goldenPrivate, "1234.1234", "private-foobar2", "", false},
		{goldenPresence, "1234.1234", "presence-foobar", pusher, false},
		{goldenPresence, "1234.1234", "presence-foobar", "", false},
		{strings.ToUpper(goldenPrivate), "1234.1234", "private-foobar", "", false},
		{goldenPrivate[:len(goldenPrivate)-1], "1234.1234", "private-foobar", "", false},
		{goldenPrivate + "0", "1234.1234", "private-foobar", "", false},
		{"other:" + goldenPrivate[21:], "1234.1234", "private-foobar", "", false},
		{goldenPrivate[21:], "1234.1234", "private-foobar", "", false},
		{"", "1234.1234", "private-foobar", "", false},
	} {
		var data []byte
		if c.data != "" {
			data = []byte(c.data)
		}
		if got := a.SignsChannel([]byte(c.auth), []byte(c.socket), []byte(c.channel), data); got != c.want {
			t.Errorf("%s on %s with %q and %q: %v, want %v", c.socket, c.channel, c.auth, c.data, got, c.want)
		}
	}
	user := []byte(`{"id":"12345"}`)
	if !a.SignsUser([]byte(goldenUser), []byte("1234.1234"), user) {
		t.Error("the signature of a user is refused")
	}
	if a.SignsUser([]byte(goldenUser), []byte("1234.1234"), []byte(`{"id":"12346"}`)) || a.SignsUser([]byte(goldenPrivate), []byte("1234.1234"), user) {
		t.Error("a user may have the signature of something else")
	}
}

func TestSignaturesOfRequests(t *testing.T) {
	a := tableOf(t, golden).ByID("3")
	at := time.Unix(1353088179, 0)
	good := Request{Method: "POST", Path: "/apps/3/events", RawQuery: goldenQuery, Body: []byte(goldenBody)}
	if err := a.Verify(good, at); err != nil {
		t.Fatalf("the documented request: %v", err)
	}
	change := func(old, new string) Request {
		r := good
		r.RawQuery = strings.Replace(goldenQuery, old, new, 1)
		if r.RawQuery == goldenQuery {
			t.Fatalf("%q is not in the query", old)
		}
		return r
	}
	with := func(f func(r *Request)) Request {
		r := good
		f(&r)
		return r
	}
	for name, c := range map[string]struct {
		r    Request
		at   time.Time
		want error
	}{
		"at the end of the window":   {good, at.Add(Window), nil},
		"at its beginning":           {good, at.Add(-Window), nil},
		"behind the window":          {good, at.Add(Window + time.Second), ErrTimestamp},
		"before it":                  {good, at.Add(-Window - time.Second), ErrTimestamp},
		"another body":               {with(func(r *Request) { r.Body = []byte("{}") }), at, ErrDigest},
		"no body":                    {with(func(r *Request) { r.Body = nil }), at, ErrDigest},
		"another method":             {with(func(r *Request) { r.Method = "GET" }), at, ErrSignature},
		"another path":               {with(func(r *Request) { r.Path = "/apps/4/events" }), at, ErrSignature},
		"another key":                {change("278d425bdf160c739803", "278d425bdf160c739804"), at, ErrKey},
		"another time":               {change("1353088179", "1353088180"), at, ErrSignature},
		"no time":                    {change("auth_timestamp=1353088179&", ""), at, ErrQuery},
		"no signature":               {change("&auth_signature=da45", "&a=da45"), at, ErrQuery},
		"two keys":                   {change("auth_key=", "auth_key=x&auth_key="), at, ErrKey},
		"another version":            {change("1.0", "1.1"), at, ErrVersion},
		"no digest, so not signed":   {change("&body_md5=ec365a775a4cd0599faeb73354201b6f", ""), at, ErrSignature},
		"one parameter more":         {change("auth_key=", "info=x&auth_key="), at, ErrSignature},
		"a query that is not one":    {with(func(r *Request) { r.RawQuery = "%zz" }), at, ErrQuery},
		"two names but for case":     {change("auth_key=", "A=1&a=2&auth_key="), at, ErrNames},
		"a second key but for case":  {change("auth_key=", "Auth_Key=x&auth_key="), at, ErrNames},
		"a second signature":         {change("auth_key=", "AUTH_SIGNATURE=x&auth_key="), at, ErrNames},
		"a signature in upper case":  {change("da454824c97ba", "DA454824C97BA"), at, ErrSignature},
		"a signature that is longer": {change("f457e6c", "f457e6c0"), at, ErrSignature},
	} {
		if err := a.Verify(c.r, c.at); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// What Sign signs, Verify verifies: parameters in any order and case, and a path that the
// HTTP client has encoded.
func TestSignAndVerify(t *testing.T) {
	a := tableOf(t, golden).ByID("3")
	now := time.Unix(1_800_000_000, 0)
	for _, r := range []Request{
		{Method: "GET", Path: "/apps/3/channels", RawQuery: "filter_by_prefix=presence-&info=user_count%2Csubscription_count"},
		{Method: "get", Path: "/apps/3/channels/presence-a;b@c", RawQuery: "Info=user_count"},
		{Method: "POST", Path: "/apps/3/batch_events", Body: []byte(`{"batch":[]}`)},
		{Method: "GET", Path: "/apps/3/channels/#server-to-user-7"},
		{Method: "POST", Path: "/apps/3/users/7/terminate_connections", RawQuery: "empty="},
	} {
		query, err := a.Sign(r, now)
		if err != nil {
			t.Fatal(err)
		}
		sent := r
		sent.RawQuery, sent.Path = query, strings.ReplaceAll(r.Path, "#", "%23")
		if err := a.Verify(sent, now.Add(time.Minute)); err != nil {
			t.Errorf("%s %s: %v", r.Method, r.Path, err)
		}
		values, _ := url.ParseQuery(query)
		values.Set("more", "1")
		sent.RawQuery = values.Encode()
		if err := a.Verify(sent, now); !errors.Is(err, ErrSignature) {
			t.Errorf("%s %s with one parameter more: %v", r.Method, r.Path, err)
		}
	}
	if _, err := a.Sign(Request{RawQuery: "%zz"}, now); !errors.Is(err, ErrQuery) {
		t.Errorf("a query that is not one: %v", err)
	}
}

// The text that is signed has its parameters in the order of their names, also if a name has a
// "=" or a name is the beginning of another, and the values of a name as they were sent.
func TestSignedTextHasOneOrder(t *testing.T) {
	query, err := url.ParseQuery("b=3&a%3Dx=2&B%26=4&auth_signature=s&A=1&ab=5&b=1&auth_key=k")
	if err != nil {
		t.Fatal(err)
	}
	const want = "GET\n/apps/3/channels\na=1&a=x=2&ab=5&auth_key=k&b=3&b=1&b&=4"
	for range 50 { // the order of a map is another each time
		if got := signedText("get", "/apps/3/channels", query); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	for _, raw := range []string{"Info=x&info=y", "Auth_Key=x"} {
		if _, err := tableOf(t, golden).ByID("3").Sign(Request{RawQuery: raw}, time.Now()); !errors.Is(err, ErrNames) {
			t.Errorf("%s: %v, want %v", raw, err, ErrNames)
		}
	}
}

// Nothing prints a secret.
func TestSecretsStayInside(t *testing.T) {
	bad := Definition{ID: "1", Key: "a b", Secret: "very-secret"}
	err := Validate([]Definition{bad, {ID: "2", Key: "k", Secret: "s3cret"}})
	if err == nil || strings.Contains(err.Error(), "very-secret") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("faults: %v", err)
	}
	if _, err := Parse("1:very-secret"); err == nil || strings.Contains(err.Error(), "very-secret") {
		t.Errorf("Parse: %v", err)
	}
	a := tableOf(t, golden).ByID("3")
	for _, r := range []Request{{}, {RawQuery: goldenQuery}} {
		if err := a.Verify(r, time.Now()); err == nil || strings.Contains(err.Error(), golden.Secret) {
			t.Errorf("Verify: %v", err)
		}
	}
}

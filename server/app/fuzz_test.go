package app_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"peal/server/app"
)

// A request holds with the signature of the app, and without it, with another's, for another path
// or body, or too late it does not, whatever else its query has.
func FuzzVerify(f *testing.F) {
	for _, seed := range [][3]string{
		{"/apps/1/events", "", `{"name":"a","channel":"b","data":""}`}, {"/apps/1/channels", "info=user_count&filter_by_prefix=presence-", ""},
		{"/apps/1/channels/a%20b", "auth_timestamp=1&auth_key=x&auth_signature=0", ""}, {"/", "a=1&A=2&%zz", "x"}, {"/ä", "auth_version=2&body_md5=0;", "{}"},
		{"0", "auth_signAture", ""}, // Verify refuses what Sign must not sign
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	table, err := app.New([]app.Definition{{ID: "1", Key: "k", Secret: "the-secret-of-one"}, {ID: "2", Key: "k2", Secret: "the-secret-of-two", Namespace: "two:"}}, false, nil)
	if err != nil {
		f.Fatal(err)
	}
	one, two := table.ByID("1"), table.ByID("2")
	now := time.Unix(1_700_000_000, 0)
	f.Fuzz(func(t *testing.T, path, query, body string) {
		r := app.Request{Method: "POST", Path: path, RawQuery: query, Body: []byte(body)}
		if err := one.Verify(r, now); err == nil {
			t.Fatalf("%q?%q holds without a signature", path, query)
		}
		signed, err := one.Sign(r, now)
		if err != nil {
			return // no query, or one that cannot be signed
		}
		values, _ := url.ParseQuery(query)
		if len(body) == 0 && len(values["body_md5"]) > 0 {
			return // of another body
		}
		r.RawQuery = signed
		if err := one.Verify(r, now); err != nil {
			t.Fatalf("%q?%q: %v", path, signed, err)
		}
		if err := one.Verify(r, now.Add(app.Window+time.Second)); !errors.Is(err, app.ErrTimestamp) {
			t.Fatalf("too late: %v", err)
		}
		if two.Verify(r, now) == nil {
			t.Fatal("it holds for another app")
		}
		other := r
		other.Path += "/x"
		if one.Verify(other, now) == nil {
			t.Fatal("it holds for another path")
		}
		other = r
		other.Body = append([]byte("x"), r.Body...)
		if one.Verify(other, now) == nil {
			t.Fatal("it holds for another body")
		}
	})
}

// What Parse reads of a text is valid, or the error says what is wrong without the secret.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"1:shop-key:a-long-secret", "1:k:", "::", "a:b:c:d:eeeeeeeee", "ä:k:secretsecret", ""} {
		f.Add(seed)
	}
	f.Add("\x0000000300000::0000000300000") // the id, as the error quotes it, has the secret
	f.Fuzz(func(t *testing.T, text string) {
		d, err := app.Parse(text)
		if err == nil {
			err = app.Validate([]app.Definition{d})
		}
		if err != nil {
			// An id may look like the secret. Then the error has it with another secret, too.
			other := d
			other.Secret = strings.Repeat("x", len(d.Secret))
			if len(d.Secret) > 12 && strings.Contains(err.Error(), d.Secret) && !strings.Contains(fmt.Sprint(app.Validate([]app.Definition{other})), d.Secret) {
				t.Fatalf("the error repeats the secret: %v", err)
			}
			return
		}
		if _, err := app.New([]app.Definition{d}, false, nil); err != nil {
			t.Fatalf("%q is valid, but: %v", text, err)
		}
	})
}

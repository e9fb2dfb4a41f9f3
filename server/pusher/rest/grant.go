package rest

import (
	"peal/server/app"
	"peal/server/grant"
	"peal/server/pattern"
)

// Grant returns what the backend of an app may do: all that the HTTP API offers, on the
// channels of its namespace. The name of the backend is app:ID, so that its rate is
// counted apart from those of keys.
func Grant(a *app.App) *grant.Grant {
	all := []string{pattern.Escape(a.Namespace) + "*"}
	scope, err := grant.NewScope(map[grant.Action][]string{
		grant.Publish: all, grant.Inspect: all, grant.Presence: all, grant.Disconnect: {},
	})
	if err != nil {
		panic("rest: the namespace of an app is no pattern: " + err.Error()) // app.Validate has checked it
	}
	return &grant.Grant{Kind: grant.Backend, Subject: "app:" + a.ID, Scope: scope}
}

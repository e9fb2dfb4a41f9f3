package rest

import (
	"bytes"
	"strconv"
	"strings"

	"peal/server/app"
	"peal/server/hub"
	"peal/server/names"
	"peal/server/pattern"
	"peal/server/presence"
	"peal/server/publication"
	"peal/server/refusal"
)

// Directory tells about channels: a hub.Hub, or the counts.Directory of several nodes.
type Directory interface {
	Channel(name string) (hub.Info, bool)
	Channels(prefix, after string, limit int) []hub.Info
}

// View is what the API says about the channels of an app.
type View struct {
	App      *app.App
	Hub      Directory
	Presence *presence.Table // nil: nobody is listed
}

// Costs of responses on a worker, in microseconds.
const (
	ChannelsCost = 1000
	UsersCost    = 500
)

// pages is how many pages of hub.MaxInfos channels a list goes through: each of them visits
// all channels of the server.
const pages = 32

// ParsePrefix reads filter_by_prefix, as it was sent.
func ParsePrefix(text []byte) (string, *refusal.Error) {
	if len(text) > 0 && string(text) != "#" && !app.IsName(text) {
		return "", errPrefix
	}
	return string(text), nil
}

// ParseChannel reads the name of a channel, as it was sent, without percent-encoding.
func ParseChannel(text []byte) (string, *refusal.Error) {
	if !app.IsName(text) {
		return "", errChannel
	}
	return string(text), nil
}

// maxUser is the length of the longest id of a user.
const maxUser = 128

// ParseUser reads the id of a user, as it was sent, without percent-encoding, and returns
// the name of the client that the user is when it has signed in. With a colon, it could be the
// name of a user of another app, whose namespace ends with one.
func ParseUser(a *app.App, text []byte) (client string, err *refusal.Error) {
	if len(text) == 0 || len(text) > maxUser || !pattern.IsPrintable(text) || bytes.IndexByte(text, ':') >= 0 {
		return "", errUser
	}
	return Client(a, string(text)), nil
}

// Client is the name of the client that a user of an app is when it has signed in, and that
// a member of a presence channel has.
func Client(a *app.App, user string) string { return a.Namespace + user }

// CheckMembers finds out whether a channel may have users.
func CheckMembers(name string) *refusal.Error {
	if !strings.HasPrefix(name, app.Presence) {
		return errMembers
	}
	return nil
}

// Channels is the channels that have subscribers: {"channels":{NAME:{…},…}}, with
// "truncated":true if there are more than the server lists.
func (v *View) Channels(prefix string, w Wish) []byte {
	body, n := []byte(`{"channels":{`), 0
	begin, after := v.App.Namespace+prefix, ""
	for page := 0; ; page++ {
		infos := v.Hub.Channels(begin, after, hub.MaxInfos)
		for i := range infos {
			name := infos[i].Name[len(v.App.Namespace):]
			if infos[i].Subscribers == 0 || !app.IsName([]byte(name)) { // of another app
				continue
			}
			if n++; n > 1 {
				body = append(body, ',')
			}
			body = publication.AppendString(body, name)
			body = append(body, ":{"...)
			body = append(v.appendNumbers(body, name, infos[i], w), '}')
		}
		if len(infos) < hub.MaxInfos {
			return append(body, "}}"...)
		}
		after = infos[len(infos)-1].Name
		if page == pages-1 {
			return append(body, `},"truncated":true}`...)
		}
	}
}

// Channel is {"occupied":…}, and the numbers that are wished for.
func (v *View) Channel(name string, w Wish) []byte {
	info, _ := v.Hub.Channel(v.App.Namespace + name)
	body := append([]byte(`{"occupied":`), strconv.FormatBool(info.Subscribers > 0)...)
	if w != 0 {
		body = append(body, ',')
		body = v.appendNumbers(body, name, info, w)
	}
	return append(body, '}')
}

// appendNumbers appends the members of an object that w asks for, without braces.
func (v *View) appendNumbers(dst []byte, name string, info hub.Info, w Wish) []byte {
	comma := false
	add := func(key string, n int) {
		if comma {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), key...), `":`...)
		dst = strconv.AppendInt(dst, int64(n), 10)
		comma = true
	}
	if w&UserCount != 0 && strings.HasPrefix(name, app.Presence) {
		add("user_count", v.users(name))
	}
	if w&SubscriptionCount != 0 {
		add("subscription_count", info.Subscribers)
	}
	return dst
}

// appendCounts is appendNumbers for a channel that was published on.
func (v *View) appendCounts(dst []byte, name string, w Wish) []byte {
	info, _ := v.Hub.Channel(v.App.Namespace + name)
	return v.appendNumbers(append(dst, '{'), name, info, w)
}

// appendChannels appends the members of an object, one for each channel, and closes it and
// the object around it.
func (v *View) appendChannels(dst []byte, channels []*names.Name, w Wish) []byte {
	for i, n := range channels {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = publication.AppendString(dst, v.name(n))
		dst = append(v.appendCounts(append(dst, ':'), v.name(n), w), '}')
	}
	return append(dst, "}}"...)
}

// name is the name of a channel of the app, as its clients have it.
func (v *View) name(n *names.Name) string { return n.Text()[len(v.App.Namespace):] }

func (v *View) users(name string) int {
	if v.Presence == nil {
		return 0
	}
	return v.Presence.List(v.App.Namespace+name, "", 1).Count
}

// usersPage is how many members are read under one lock.
const usersPage = 1000

// Users is the members of a presence channel: {"users":[{"id":…},…]}.
func (v *View) Users(name string) []byte {
	body, after := []byte(`{"users":[`), ""
	for v.Presence != nil {
		page := v.Presence.List(v.App.Namespace+name, after, usersPage)
		for _, m := range page.Members {
			if after != "" {
				body = append(body, ',')
			}
			body = append(body, `{"id":`...)
			body = append(publication.AppendString(body, strings.TrimPrefix(m.Client, v.App.Namespace)), '}')
			after = m.Client
		}
		if !page.More {
			break
		}
	}
	return append(body, "]}"...)
}

package room

import (
	"peal/loop"
	"peal/server/app"
	"peal/server/grant"
	"peal/server/permit"
	"peal/server/pusher"
	"peal/server/refusal"
)

// Found in pusher:signin.
var (
	errUserSignature = &refusal.Error{Status: 401, Code: "signature_invalid", Message: "the signature of the user (auth) is wrong: the backend must sign the socket_id of this connection and user_data with the secret of this app"}
	errUserData      = &refusal.Error{Status: 400, Code: "bad_client", Message: "user_data must be a JSON object with id, a text of 1 to 128 letters, digits and _-=@,.;"}
	errOtherUser     = &refusal.Error{Status: 403, Code: "client_mismatch", Message: "another user has signed in on this connection: connect anew"}
)

// signIn carries out pusher:signin: the connection is that of a user from then on.
func (r *Room) signIn(c loop.Client, k *connection, m *pusher.Signin) {
	if err := r.trySignIn(c, k, m); err != nil {
		if err == permit.ErrDisconnected {
			r.Counts.Refuse(err)
			c.Close(err.CloseCode(), err.Code+": "+err.Message)
			return
		}
		r.refuse(c, pusher.CodeUnauthorized, err)
		return
	}
	c.Write(pusher.AppendSignedIn(nil, m.UserData))
}

func (r *Room) trySignIn(c loop.Client, k *connection, m *pusher.Signin) *refusal.Error {
	c.Spend(signWork)
	if !k.app.SignsUser(m.Auth, r.socketID(c), m.UserData) {
		return errUserSignature
	}
	u, ok := r.parser.ParseUser(m.UserData, "id")
	if !ok || !app.IsName(u.ID) {
		return errUserData
	}
	user := k.app.Namespace + string(u.ID)
	switch {
	case k.user == user:
		return nil
	case k.user != "":
		return errOtherUser
	case r.Gate.Bans != nil && r.Gate.Bans.HasText(user):
		return permit.ErrDisconnected
	}
	r.connections[c.Session()] = &connection{app: k.app, user: user}
	// So that the user is found by name when the backend disconnects it.
	r.Guests.Hold(c.Session(), &grant.Grant{Kind: grant.User, Subject: user}, &loop.Subscription{}, false)
	return nil
}

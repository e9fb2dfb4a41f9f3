package simulation_test

// plantedDialectSeeds is how many schedules a bug of another protocol may survive: as many as
// TestSimulationOfDialects runs.
const plantedDialectSeeds = 300

// dialectBugs are those of the Pusher and of the Mercure protocol, in the folder server.
var dialectBugs = []loopBug{
	{"socket_id of the HTTP API leaves nobody out", []edit{
		{"pusher/rest/event.go", "		e.Draft.Exclude = id.Append(e.exclude[:0])\n", "		if !BUG {\n			e.Draft.Exclude = id.Append(e.exclude[:0])\n		}\n"},
	}},
	{"the sender of a client event hears it", []edit{
		{"pusher/room/client.go", "	d.Exclude = r.id\n", "	if !BUG {\n		d.Exclude = r.id\n	}\n"},
	}},
	{"an entry of several channels is sent on its first alone", []edit{
		{"pusher/encode.go", "	if len(e.Also) == 0 {\n		return appendEventOn(", "	if len(e.Also) == 0 || BUG {\n		return appendEventOn("},
	}},
	{"an update is one message for each topic", []edit{
		{"httpapi/mercurepublish.go", "	d.Joined = true\n", "	d.Joined = !BUG\n"},
	}},
	{"a private update is on the public channel", []edit{
		{"httpapi/mercurepublish.go", "	case private:\n", "	case private && !BUG:\n"},
	}},
	{"private updates without a grant", []edit{
		{"httpapi/mercure.go", "	if x.grant == nil || !x.grant.Allows(grant.Subscribe, n.Text()) {\n", "	if !BUG && (x.grant == nil || !x.grant.Allows(grant.Subscribe, n.Text())) {\n"},
		{"permit/topics.go", "need, granted := n.Rule().Subscribe, private\n", "need, granted := n.Rule().Subscribe, private && !BUG\n"},
	}},
	{"private channels of an app are open to other protocols", []edit{
		{"permit/grant.go", "		if need != rules.Backend && g.Apps.Protects(n.Text()) {", "		if need != rules.Backend && !BUG && g.Apps.Protects(n.Text()) {"},
	}},
	{"the signature of a subscription is not looked at", []edit{
		{"pusher/room/subscribe.go", "	if !k.app.SignsChannel(", "	if !BUG && !k.app.SignsChannel("},
	}},
	{"the cursor of a subscription is not looked at", []edit{
		{"pusher/room/subscribe.go", "	w := subscribe.Wish{Channels: &r.channels, ", "	if BUG {\n		m.Cursor = nil\n	}\n	w := subscribe.Wish{Channels: &r.channels, "},
	}},
	{"a subscription outlives its unsubscribe", []edit{
		{"pusher/room/subscribe.go", "	c.Unsubscribe(n.Watched())\n", "	if !BUG {\n		c.Unsubscribe(n.Watched())\n	}\n"},
	}},
	{"no word of a gap", []edit{
		{"pusher/encode.go", "	g.Channel = app.Name(strings.TrimPrefix(g.Channel, log.PresencePrefix))\n", "	if BUG {\n		return dst\n	}\n	g.Channel = app.Name(strings.TrimPrefix(g.Channel, log.PresencePrefix))\n"},
	}},
	{"a channel without the namespace of its app", []edit{
		{"pusher/room/room.go", "	r.text = append(append(r.text[:0], k.app.Namespace...), name...)\n", "	r.text = append(append(r.text[:0], k.app.Namespace...), name...)\n	if BUG {\n		r.text = append(r.text[:0], name...)\n	}\n"},
	}},
	{"lastEventID in the URL is not looked at", []edit{
		{"httpapi/mercure.go", "			if len(value) > 0 {\n				cursor = value\n", "			if len(value) > 0 && !BUG {\n				cursor = value\n"},
	}},
	{"no last event of a cache channel", []edit{
		{"pusher/room/subscribe.go", "	if len(m.Cursor) == 0 && app.HasCache(name) {\n", "	if len(m.Cursor) == 0 && app.HasCache(name) && !BUG {\n"},
	}},
}

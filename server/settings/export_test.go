package settings

import "peal/server"

// Field is where the setting is in c.
func (s Setting) Field(c *server.Config) any { return s.field(c) }

// Rules and Keys are two of Lists.
var Rules, Keys, Apps, Webhooks, Asking = channelRules, backendKeys, pusherApps, webhooks, asking

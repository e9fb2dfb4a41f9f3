package settings

import "peal/server"

// Field is where the setting is in c.
func (s Setting) Field(c *server.Config) any { return s.field(c) }

// Rules is the list of rules for channels.
func Rules() List { return channelRules }

package server

import (
	"fmt"

	"peal/server/auth"
)

// policy decides from where clients may come: the hosts and origins of c. Where clients
// prove who they are, any name may lead to the server.
func (c Config) policy() *auth.Policy {
	return &auth.Policy{Open: c.Open, AnyHost: c.Auth == AuthToken, Origins: c.Origins}
}

func (c Config) checkOrigins() (errs []error) {
	if len(c.Origins) > auth.MostOrigins {
		errs = append(errs, fmt.Errorf("config: allow-origin has %d origins: at most %d are possible; use a wildcard as in https://*.example.org", len(c.Origins), auth.MostOrigins))
	}
	for _, o := range c.Origins {
		if err := auth.CheckOrigin(o); err != nil {
			errs = append(errs, fmt.Errorf("config: allow-origin %q: %w", o, err))
		}
	}
	return errs
}

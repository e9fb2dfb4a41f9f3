package grant

import (
	"errors"
	"fmt"

	"peal/server/pattern"
)

// Plain is a Grant as plain data, for another process.
type Plain struct {
	Kind    string // as Kind.String
	Subject string `json:",omitempty"`
	ID      string `json:",omitempty"`
	Info    string `json:",omitempty"`
	Issued  int64  `json:",omitempty"`
	Expires int64  `json:",omitempty"`
	Topics  bool   `json:",omitempty"`

	// Of each action that is granted, by its name, the patterns; the selectors where
	// Selects is true, which is so for tokens of the Mercure protocol.
	Lists   map[string][]string `json:",omitempty"`
	Selects bool                `json:",omitempty"`
}

// Plain returns g as plain data.
func (g *Grant) Plain() Plain {
	p := Plain{Kind: g.Kind.String(), Subject: g.Subject, ID: g.ID, Info: g.Info, Issued: g.Issued, Expires: g.Expires, Topics: g.Topics, Lists: map[string][]string{}}
	if g.Scope == nil {
		return p
	}
	if p.Selects = g.topics != nil; p.Selects {
		for _, a := range []Action{Subscribe, Publish} {
			if s := g.topics[a]; s != nil {
				p.Lists[a.String()] = s.Texts()
			}
		}
		return p
	}
	for a := Subscribe; a < actions; a++ {
		list := g.lists[a]
		if a == History { // the rest is that of Subscribe, which the new Grant adds again
			list = list[:len(list)-len(g.lists[Subscribe])]
		}
		if !g.any[a] || a == History && len(list) == 0 {
			continue
		}
		p.Lists[a.String()] = textsOf(list)
	}
	return p
}

func textsOf(list []pattern.Pattern) []string {
	all := make([]string, len(list))
	for i := range list {
		all[i] = list[i].String()
	}
	return all
}

var errKind = errors.New("a grant of a kind that this version does not know")

// Grant returns the Grant that p describes. selectors compiles those of a Mercure token.
func (p *Plain) Grant(selectors func(texts []string) (Selectors, error)) (*Grant, error) {
	g := &Grant{Subject: p.Subject, ID: p.ID, Info: p.Info, Issued: p.Issued, Expires: p.Expires, Topics: p.Topics}
	switch p.Kind {
	case Anonymous.String():
	case User.String():
		g.Kind = User
	case Backend.String():
		g.Kind = Backend
	default:
		return nil, errKind
	}
	lists := map[Action][]string{}
	for name, texts := range p.Lists {
		a, ok := ParseAction(name)
		if !ok {
			continue // of a later version: what it grants is not asked for here
		}
		if texts == nil {
			texts = []string{} // gob has no empty lists
		}
		lists[a] = texts
	}
	var err error
	if !p.Selects {
		g.Scope, err = NewScope(lists)
		return g, err
	}
	var both [2]Selectors
	for i, a := range []Action{Subscribe, Publish} {
		if lists[a] == nil {
			continue
		}
		if both[i], err = selectors(lists[a]); err != nil {
			return nil, fmt.Errorf("%s: %w", a, err)
		}
	}
	g.Scope = NewTopicScope(both[0], both[1])
	return g, nil
}

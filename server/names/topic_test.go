package names_test

import (
	"testing"

	"peal/server/names"
	"peal/server/rules"
)

// A private channel that some Mercure client has cannot be named by another dialect, also
// while a cache knows it, and has the rule of its topic.
func TestPrivateChannelsCannotBeNamed(t *testing.T) {
	c := names.NewCache(rules.New([]rules.Rule{{Match: "news", MaxSubscribers: 7}}, rules.Rule{}))
	n, err := c.Topic([]byte("news"))
	if err != nil {
		t.Fatal(err)
	}
	private := c.Private(n)
	if private.Text() != "$private:news" || private.Rule().MaxSubscribers != 7 || private != c.Private(n) {
		t.Errorf("%q %+v", private.Text(), private.Rule())
	}
	if topic, is := private.Topic(); topic != "news" || !is {
		t.Errorf("%q %v", topic, is)
	}
	if topic, is := n.Topic(); topic != "news" || is {
		t.Errorf("%q %v", topic, is)
	}
	for _, name := range []string{"$private:news", "$private:", "$private:other"} {
		if _, err := c.Get([]byte(name)); err != names.ErrReserved {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.Topic([]byte(name)); err != names.ErrTopicReserved {
			t.Errorf("%s as a topic: %v", name, err)
		}
	}
	c.Use(rules.New([]rules.Rule{{Match: "news", MaxSubscribers: 8}}, rules.Rule{}))
	if n, _ = c.Topic([]byte("news")); c.Private(n).Rule().MaxSubscribers != 8 {
		t.Error("the rule is that of before the reload")
	}
}

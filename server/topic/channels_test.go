package topic_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"peal/server/topic"
)

func TestChannels(t *testing.T) {
	for _, c := range []struct{ topics, granted, want []string }{
		{[]string{"a"}, nil, []string{"a"}},
		{[]string{"b", "a", "b"}, nil, []string{"a", "b"}},
		{[]string{"a"}, []string{"b"}, []string{"a"}},
		{[]string{"a"}, []string{"a"}, []string{"$private:a", "a"}},
		{[]string{"a/1"}, []string{"a/{x}"}, []string{"$private:a/1", "a/1"}},
		{[]string{"a/1"}, []string{"*"}, []string{"$private:a/1", "a/1"}},
		{[]string{"*"}, nil, []string{"$like:*"}},
		{[]string{"*"}, []string{"*"}, []string{"$like-private:*", "$like:*"}},
		{[]string{"*"}, []string{"a/{x}", "b"}, []string{"$like-private:a/{x}", "$like:*", "$private:b"}},
		{[]string{"a/{x}"}, nil, []string{"$like:a/{x}"}},
		{[]string{"a/{x}"}, []string{"a/{x}", "a/1"}, []string{"$like-private:a/{x}", "$like:a/{x}"}},
		{[]string{"a/{x}"}, []string{"b/{x}", "*"}, []string{"$like-private:a/{x}", "$like:a/{x}"}},
		{[]string{"a/{x}"}, []string{"a/{x}{?y}"}, []string{"$like-private:a/{x} a/{x}{?y}", "$like:a/{x}"}},
		{[]string{"a/{x}"}, []string{"b/{x}", "a/1", "b/1"}, []string{"$like:a/{x}", "$private:a/1"}},
		{[]string{"a"}, []string{"a{", "{"}, []string{"a"}},
	} {
		got, err := topic.Channels(c.topics, c.granted)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("topics %q, granted %q: %q, %v; want %q", c.topics, c.granted, got, err, c.want)
		}
		for _, name := range got {
			if p := (topic.Patterns{}).Pattern(name); (p != nil) != strings.HasPrefix(name, "$like") {
				t.Errorf("%s: pattern %v", name, p)
			}
		}
	}
}

func TestChannelsRefuses(t *testing.T) {
	var many, grants []string
	for i := range 20 {
		many = append(many, fmt.Sprintf("{x}/%d", i))
		grants = append(grants, fmt.Sprintf("{x}{y}%d", i))
	}
	for _, c := range []struct {
		topics, granted []string
		want            error
	}{
		{[]string{""}, nil, topic.ErrEmpty},
		{[]string{"$private:a"}, []string{"*"}, topic.ErrReserved},
		{[]string{"$like:*"}, []string{"*"}, topic.ErrReserved},
		{[]string{strings.Repeat("a", 201)}, nil, topic.ErrTopicLong},
		{[]string{"a{b"}, nil, nil},
		{many, append(grants, "{+z}"), nil},
	} {
		got, err := topic.Channels(c.topics, c.granted)
		if c.want == nil && len(c.topics) == 20 {
			if err != nil || len(got) > topic.MaxChannels {
				t.Errorf("20 topics and grants: %d channels, %v", len(got), err)
			}
			continue
		}
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("topics %.20q: %q, %v; want %v", c.topics, got, err, c.want)
		}
	}
	var all []string
	for i := range topic.MaxChannels + 1 {
		all = append(all, fmt.Sprint(i))
	}
	if _, err := topic.Channels(all, nil); !errors.Is(err, topic.ErrChannels) {
		t.Errorf("%d topics: %v", len(all), err)
	}
	if got, err := topic.Channels(all[1:], nil); err != nil || len(got) != topic.MaxChannels {
		t.Errorf("%d topics: %v", len(all)-1, err)
	}
}

// TestPrivateNeedsBoth checks that what a subscription reaches is what was asked for and
// granted, for all topics of a small world.
func TestPrivateNeedsBoth(t *testing.T) {
	selectors := []string{"a", "a/1", "*", "{x}", "a/{x}", "{x}/1", "{+x}", "a{/x*}", "b{y}"}
	world := []string{"a", "a/1", "a/2", "b", "b/1", "b1", "a/1/1", "{x}", "a/{x}"}
	reaches := func(channels []string, channel string) bool {
		return slices.ContainsFunc(channels, func(name string) bool {
			if p := (topic.Patterns{}).Pattern(name); p != nil {
				found := p.Match(channel)
				if found && !(strings.HasPrefix(channel, p.Prefix()) && strings.HasSuffix(channel, p.Suffix())) {
					t.Errorf("%s matches %s, but not its prefix or suffix", name, channel)
				}
				return found
			}
			return name == channel
		})
	}
	for _, asked := range selectors {
		for _, one := range selectors {
			for _, two := range selectors {
				channels, err := topic.Channels([]string{asked}, []string{one, two})
				if err != nil {
					t.Fatal(err)
				}
				for _, at := range world {
					public := topic.Match(asked, at)
					private := public && (topic.Match(one, at) || topic.Match(two, at))
					if reaches(channels, at) != public || reaches(channels, topic.Private(at)) != private {
						t.Errorf("asked for %s, granted %s and %s: %q is reached publicly %v (want %v), privately %v (want %v), by %q",
							asked, one, two, at, !public, public, !private, private, channels)
					}
				}
			}
		}
	}
}

func TestPatternRefuses(t *testing.T) {
	for _, name := range []string{"$like", "$like:", "$like:a", "$like:{", "$like-private:", "$like-private:a", "$like-private:{x} a", "$like-private:{x} {", "$likely:{x}"} {
		if p := (topic.Patterns{}).Pattern(name); p != nil {
			t.Errorf("%s is a pattern", name)
		}
	}
}

func TestTopicOfChannel(t *testing.T) {
	for channel, want := range map[string]string{"a": "a", "$private:a": "a", "$like:*": "", "": "", "$presence:a": "", "$user:1": ""} {
		got, private, ok := topic.Topic(channel)
		if ok != (want != "") || ok && (got != want || private != (channel[0] == '$')) {
			t.Errorf("%q: %q, %v, %v", channel, got, private, ok)
		}
	}
}

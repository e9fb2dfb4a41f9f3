package settings_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"peal/loop/fanout"
	"peal/server/rules"
	"peal/server/settings"
)

func TestTheExampleOfRulesIsRead(t *testing.T) {
	path := file(t, example)
	s := load(t, settings.Input{File: path})
	want := []rules.Rule{
		{Match: "prices.*", HistoryMessages: 1, Slow: fanout.Latest, ClientPublish: rules.No},
		{Match: "chat.*", HistoryAge: 24 * time.Hour, MessageBytes: 4 << 10, MaxSubscribers: 5000},
	}
	if !reflect.DeepEqual(s.Config.Channels, want) {
		t.Errorf("got  %+v\nwant %+v", s.Config.Channels, want)
	}
	if got := s.Sources["channels"]; got != path+", line 2" {
		t.Errorf("they come from %q", got)
	}
}

func TestPrintedRulesCanBeReadAgain(t *testing.T) {
	for _, text := range []string{example, "channels: []\n", `channels:
  - {match: "a\"\\*ü", history-messages: 0, history-bytes: 2KiB, history-age: 1m30s, slow: resume, client-publish: true, presence: false, message-bytes: 1, max-subscribers: 1}
  - {match: "*", slow: disconnect}
`} {
		s := load(t, settings.Input{File: file(t, text)})
		again := load(t, settings.Input{File: file(t, s.YAML())})
		if !reflect.DeepEqual(again.Config.Channels, s.Config.Channels) {
			t.Errorf("printed\n%s\nand read again it is\n%+v, not\n%+v", s.YAML(), again.Config.Channels, s.Config.Channels)
		}
	}
}

func TestPrintedRulesAreWhatWasSaid(t *testing.T) {
	s := load(t, settings.Input{File: file(t, example)})
	_, printed, _ := strings.Cut(s.YAML(), "\nchannels: ")
	comment, printed, _ := strings.Cut(printed, "\n")
	if !strings.HasPrefix(comment, "# from ") || !strings.HasSuffix(comment, ", line 2") {
		t.Errorf("it says %q", comment)
	}
	if _, want, _ := strings.Cut(example, "channels:\n"); printed != want {
		t.Errorf("printed\n%s\nwant\n%s", printed, want)
	}
}

func TestAllFaultsOfRulesAtOnce(t *testing.T) {
	path := file(t, `channels:
  - match: "a.*"
    histroy-age: 1h
    slow: drop
    client-publish: perhaps
    max-subscribers: 0
    max-subscribers: 3
  - history-age: 1h
  - match: ["b", "c"]
    message-bytes: 128KiB
  - "d.*"
  - match: "a.b*"
`)
	_, err := settings.Load(settings.Input{File: path, Environment: []string{"PEAL_CHANNELS=x"}})
	if err == nil {
		t.Fatal("no fault")
	}
	wants := []string{
		path + ", line 3: histroy-age: unknown setting; did you mean history-age?",
		path + `, line 4: slow "drop": must be resume, latest or disconnect`,
		path + `, line 5: client-publish "perhaps": must be true or false`,
		path + `, line 6: max-subscribers "0": must be 1 to 2147483647; omit it for the default, no limit`,
		path + ", line 7: max-subscribers: is set in line 6 already",
		path + `, line 8: rule 2, "": has no pattern`,
		path + ", line 9: match: takes one value",
		path + `, line 9: rule 3, "": has no pattern`,
		path + `, line 9: rule 3, "": messages of 131072 B: must be at most message-bytes, which is 65536 B`,
		path + ", line 11: must be lines of the form name: value",
		path + `, line 11: rule 4, "": has no pattern`,
		path + `, line 12: rule 5, "a.b*": can never match: rule 1, "a.*", matches all its channels`,
		"PEAL_CHANNELS: rules for channels are set in the configuration file only",
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %q", want)
		}
	}
	if !strings.Contains(err.Error(), fmt.Sprint(len(wants), " faults")) {
		t.Errorf("want %d faults: %v", len(wants), err)
	}
}

func TestRulesThatAreNoList(t *testing.T) {
	for text, want := range map[string]string{
		"channels:\n":                   "must be a list of rules",
		"channels: 5\n":                 "must be a list of rules",
		"channels: {match: a}\n":        "must be a list of rules",
		"channel:\n  - match: a\n":      "did you mean channels?",
		"channels:\n  - match: *.log\n": `a value that begins with * needs quotes, as in match: "*.log"`,
	} {
		if _, err := settings.Load(settings.Input{File: file(t, text)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

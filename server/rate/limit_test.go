package rate_test

import (
	"strings"
	"testing"
	"time"

	"peal/server/rate"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]rate.Limit{
		"1/s":                     {Count: 1, Per: time.Second, Burst: 1},
		"100/s":                   {Count: 100, Per: time.Second, Burst: 100},
		"100/s burst 200":         {Count: 100, Per: time.Second, Burst: 200},
		"100/s burst 1":           {Count: 100, Per: time.Second, Burst: 1},
		"30/m":                    {Count: 30, Per: time.Minute, Burst: 30},
		"30/m burst 5":            {Count: 30, Per: time.Minute, Burst: 5},
		"1000000/s burst 1000000": {Count: 1e6, Per: time.Second, Burst: 1e6},
		"off":                     rate.Off,
	} {
		got, err := rate.Parse(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
		if again, err := rate.Parse(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q, which is %+v, %v", text, got, again, err)
		}
	}
	if got, _ := rate.Parse("100/s burst 100"); got.String() != "100/s" {
		t.Errorf("%s", got)
	}
	if rate.PerSecond(5) != (rate.Limit{Count: 5, Per: time.Second, Burst: 5}) {
		t.Error(rate.PerSecond(5))
	}
	for text, says := range map[string]string{
		"": "as in 100/s", "100": "as in 100/s", "/s": "as in 100/s", "x/s": "as in 100/s", "1.5/s": "as in 100/s", "100/h": "as in 100/s", "100/sec": "as in 100/s",
		"100 /s": "as in 100/s", "100/s 200": "as in 100/s", "100/s burst": "as in 100/s", "100/s burst x": "as in 100/s", "100/s burst 1 2": "as in 100/s", "100/s/s": "as in 100/s", "none": "as in 100/s",
		"0/s": "from 1 to 1000000", "-1/s": "from 1 to 1000000", "1000001/s": "from 1 to 1000000", "99999999999999999999/s": "from 1 to 1000000", "1/s burst 0": "from 1 to 1000000", "1/s burst 1000001": "from 1 to 1000000",
	} {
		if got, err := rate.Parse(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %+v, %v, want an error with %q", text, got, err, says)
		}
	}
}

func TestZeroOffAndOn(t *testing.T) {
	for l, want := range map[rate.Limit][2]bool{{}: {false, false}, rate.Off: {true, false}, rate.PerSecond(1): {true, true}} {
		if l.IsSet() != want[0] || l.IsOn() != want[1] {
			t.Errorf("%+v: set %v, on %v", l, l.IsSet(), l.IsOn())
		}
	}
	if (rate.Limit{}).String() != "off" {
		t.Error(rate.Limit{}.String())
	}
}

package chaos

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// The judge of webhooks finds each fault, and none where there is none.
func TestTheJudgeOfWebhooks(t *testing.T) {
	l := &lives{}
	var all []publication
	data := map[uint64]string{}
	for id := uint64(1); id <= 6; id++ {
		p := publication{label: label{id, 0, uint32(id)}}
		if id != 5 { // nobody knows what became of it
			p.at, _ = l.read(fmt.Sprintf("e-%d", 10+id))
		}
		data[id] = string(appendData(nil, p.label, 20, rand.New(rand.NewPCG(1, id))))
		all = append(all, p)
	}
	event := func(id uint64) string {
		return fmt.Sprintf(`{"id":"e-%d.0","type":"publication","channel":"c0","data":%s,"cursor":"e-%d"}`, 10+id, quoted(data[id]), 10+id)
	}
	request := func(id string, events ...string) delivery {
		return delivery{id: id, body: `{"data":{"events":[` + strings.Join(events, ",") + `]}}`}
	}
	forged := request("a", event(2))
	forged.forged = true
	foreign := strings.Replace(event(3), `"c0"`, `"c1"`, 1)
	good := []delivery{request("a", event(2), event(3)), request("a", event(2), event(3)), request("b", event(4)), request("c", event(6))}
	for name, c := range map[string]struct {
		requests []delivery
		shared   bool
		want     Deliveries
	}{
		"all is well":              {good, false, Deliveries{Requests: 4, Repeats: 1, Events: 4}},
		"one that may be there":    {[]delivery{request("a", event(2), event(3), event(4), event(5), event(6))}, false, Deliveries{Requests: 1, Events: 5}},
		"one from before":          {append([]delivery{request("0", event(1))}, good...), false, Deliveries{Requests: 5, Repeats: 1, Events: 5}},
		"nothing":                  {nil, false, Deliveries{Missing: 4}},
		"one is missing":           {good[:3], false, Deliveries{Requests: 3, Repeats: 1, Events: 3, Missing: 1}},
		"out of order":             {[]delivery{request("a", event(3), event(2)), good[2], good[3]}, false, Deliveries{Requests: 3, Events: 4, Disorder: 1}},
		"another id":               {append(good[:4:4], request("d", event(6))), false, Deliveries{Requests: 5, Repeats: 1, Events: 5, Renamed: 1}},
		"another body":             {[]delivery{good[0], request("a", event(2)), good[2], good[3]}, false, Deliveries{Requests: 4, Repeats: 1, Events: 4, Different: 1}},
		"an older one again":       {append(good[:4:4], good[0]), false, Deliveries{Requests: 5, Repeats: 2, Events: 4, Disorder: 1}},
		"which nodes may send":     {append(good[:4:4], good[0]), true, Deliveries{Requests: 5, Repeats: 2, Events: 4}},
		"no signature":             {append([]delivery{forged}, good...), false, Deliveries{Requests: 5, Repeats: 1, Events: 4, Damaged: 1}},
		"another channel":          {[]delivery{request("a", event(2), foreign), good[2], good[3]}, false, Deliveries{Requests: 3, Events: 4, Missing: 1, Damaged: 1}},
		"a gap":                    {append(good[:4:4], request("e_gap", `{"type":"gap","cursor":"e-99"}`)), false, Deliveries{Requests: 5, Repeats: 1, Events: 5, Gaps: 1}},
		"a request without events": {append(good[:4:4], request("f")), false, Deliveries{Requests: 5, Repeats: 1, Events: 4, Damaged: 1}},
	} {
		h := &Webhooks{boxes: []box{{requests: c.requests}}}
		got := *h.judge(2, all, l, c.shared)
		findings := len(got.findings)
		got.findings = nil
		if fmt.Sprint(got) != fmt.Sprint(c.want) || (findings == 0) != got.Clean() {
			t.Errorf("%s: %+v, %d findings, want %+v", name, got, findings, c.want)
		}
	}
}

func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}

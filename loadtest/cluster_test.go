package loadtest

import (
	"reflect"
	"testing"
)

func TestClusterSpreadsTheSubscribersOfANodeThatIsAway(t *testing.T) {
	nodes := make([]Target, 4)
	for i, addr := range []string{"a", "b", "c", "d"} {
		nodes[i].Addr = addr
	}
	Cluster(nodes)
	if n := nodes[1]; n.Addr != "b" || !reflect.DeepEqual(n.More, []string{"c", "d", "a"}) {
		t.Errorf("node b tries %s, then %s", n.Addr, n.More)
	}
	var second [4]int
	for i := range 9 {
		var order [4]bool
		for tried := range 4 {
			turn := nodes[0].turn(i, tried, 4)
			order[turn] = true
			if tried == 0 && turn != 0 {
				t.Errorf("connection %d begins with %d", i, turn)
			}
			if tried == 1 {
				second[turn]++
			}
		}
		if order != [4]bool{true, true, true, true} {
			t.Errorf("connection %d does not try all: %v", i, order)
		}
	}
	if second != [4]int{0, 3, 3, 3} {
		t.Errorf("second attempts %v; want them spread", second)
	}
	single := Endpoint{More: []string{"x", "y"}}
	if single.turn(5, 2, 3) != 2 {
		t.Error("other targets try their addresses in order")
	}
}

package endtoend_test

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Unchanged pusher-js and laravel-echo, with the connectors reverb and pusher, on Node.
func TestPusherJSAndEchoOnNode(t *testing.T) {
	const folder = "testdata/pusher"
	for _, name := range []string{"pusher-js", "laravel-echo"} {
		if _, err := os.Stat(folder + "/node_modules/" + name); err != nil {
			lacking(t, name+" is not in server/endtoend/"+folder+"/node_modules: run npm ci there")
		}
	}
	p := startApp(t)
	host, port, _ := net.SplitHostPort(p.addr)
	c := exec.Command(tool(t, "node"), folder+"/interop.mjs", host, port, appKey, appSecret)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := []string{
		`["socket id",true,true]`,
		`["public",{"id":5,"text":"ä\u2028\""}]`,
		`["client event",{"who":1}]`,
		`["own client events",0]`,
		`["here",{"id":"1","info":{"name":"user 1"}},["1"]]`,
		`["both",3,["0","1","2"]]`,
		`["client event of a member",["text","1"]]`,
		`["changes",[["added","2","user 2"],["removed","2"]],2,[]]`,
		`["user",{"id":"1"}]`,
		`["to the user",{"for":"ann"}]`,
		`["cached",2]`,
		`["refused","AuthError",401,"connected"]`,
		`["no app",4001]`,
	}
	for _, broadcaster := range []string{"reverb", "pusher"} {
		for _, line := range []string{
			`"listen",{"id":6}]`,
			`"whisper",{"who":2}]`,
			`"presence",["[\"here two\",[\"user 1\",\"user 2\"]]","[\"here\",[\"user 1\"]]","[\"joining\",\"user 2\"]","[\"leaving\",\"user 2\"]"]]`,
			`"error",401]`,
			`"socket id",true]`,
		} {
			want = append(want, `["`+broadcaster+`",`+line)
		}
	}
	want = append(want, `["done"]`)
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	for i, line := range got {
		line = strings.ReplaceAll(line, "\u2028", `\u2028`)
		if i >= len(want) || line != want[i] {
			t.Errorf("line %d: %s", i, line)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d lines, want %d", len(got), len(want))
	}
}

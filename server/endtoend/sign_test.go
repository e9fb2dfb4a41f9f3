package endtoend_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Tokens of the JavaScript client are those that the server accepts.
func TestNodeSignsTokens(t *testing.T) {
	node := tool(t, "node")
	const module = "../../clients/js/dist/sign.mjs"
	if _, err := os.Stat(module); err != nil {
		lacking(t, "clients/js is not built: npm ci, npm run build")
	}
	g := startApplication(t, "publish")
	const script = `
		import { escapePattern, sign } from './` + module + `';
		const peal = { subscribe: ['news', 'chat', 'orders.' + escapePattern(process.argv[1]) + '.*'], presence: ['chat'], info: { name: 'Änn' } };
		process.stdout.write(await sign({ sub: process.argv[1], peal }, process.env.PEAL_TOKEN_SECRET));`
	token := func(user string) string {
		out, err := exec.CommandContext(t.Context(), node, "--input-type=module", "-e", script, user).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	ann, star := token("ann"), token("*")
	g.wantReads(ann, map[string]int{"news": 200, "orders.ann.1": 200, "orders.bob.1": 403})
	g.wantReads(star, map[string]int{"orders.ann.1": 403, "orders.*.1": 200})
	g.wantMember(ann, "chat", "ann", `{"name":"Änn"}`)
}

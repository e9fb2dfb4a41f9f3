package bench

import (
	"strings"
	"testing"
)

func TestWriteWays(t *testing.T) {
	values := make([][][]float64, len(ways))
	for i := range values {
		for range wayColumns {
			values[i] = append(values[i], []float64{3.456, 120.4, 1.5})
		}
	}
	values[0][0] = []float64{100, 100}
	var b strings.Builder
	if err := writeWays(&b, values); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 2+len(ways) || !strings.HasPrefix(lines[2], "| WebSocket, raw | 100 | 3.46 [1.50–120] |") {
		t.Errorf("\n%s", b.String())
	}
	for _, line := range lines {
		if strings.Count(line, "|") != 2+len(wayColumns) {
			t.Errorf("not %d columns: %s", 1+len(wayColumns), line)
		}
	}
}

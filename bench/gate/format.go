package gate

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// quantity writes x for people: long times in milliseconds or seconds.
func quantity(x float64, unit string) string {
	if !strings.HasSuffix(unit, "-ns") && !strings.Contains(unit, "-ns/") {
		return number(x)
	}
	switch a := math.Abs(x); {
	case a >= 1e9:
		return fmt.Sprintf("%.3g s", x/1e9)
	case a >= 1e6:
		return fmt.Sprintf("%.3g ms", x/1e6)
	case a >= 1e4:
		return fmt.Sprintf("%.3g µs", x/1e3)
	}
	return number(x)
}

// number writes x with four significant digits.
func number(x float64) string {
	if math.Abs(x) >= 1e4 && math.Abs(x) < 1e15 {
		return strconv.FormatFloat(math.Round(x), 'f', -1, 64)
	}
	return strconv.FormatFloat(x, 'g', 4, 64)
}

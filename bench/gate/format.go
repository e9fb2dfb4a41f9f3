package gate

import (
	"math"
	"strconv"
)

// number writes x with four significant digits.
func number(x float64) string {
	if math.Abs(x) >= 1e4 && math.Abs(x) < 1e15 {
		return strconv.FormatFloat(math.Round(x), 'f', -1, 64)
	}
	return strconv.FormatFloat(x, 'g', 4, 64)
}

package bench

// Format writes v with three digits, k or M where it is great, and its unit.
func Format(v float64, unit string) string { return human(v, unit) }

// FormatTarget writes o's target, "" where there is none.
func FormatTarget(o *Outcome) string { return o.Target.format(o.Unit) }

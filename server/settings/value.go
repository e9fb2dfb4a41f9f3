package settings

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"peal/loop/fanout"
	"peal/server"
	"peal/server/rate"
	"peal/server/rules"
)

var units = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// parseSize reads 64KiB, 1MiB, 2GiB, 512B or plain bytes.
func parseSize(text string) (int64, error) {
	number, factor := text, int64(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(text, u.name); ok {
			number, factor = strings.TrimSpace(n), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n > math.MaxInt64/factor || n < math.MinInt64/factor {
		return 0, errors.New("must be a size as in 64KiB, 1MiB or 65536")
	}
	return n * factor, nil
}

func formatSize(n int64) string {
	for _, u := range units {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// formatDuration is Duration.String without trailing zeros: 10m, not 10m0s.
func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// format writes n as the setting's values are written.
func (s Setting) format(n int64) string {
	switch s.Kind() {
	case "size":
		return formatSize(n)
	case "duration":
		return formatDuration(time.Duration(n))
	}
	return strconv.FormatInt(n, 10)
}

// parse reads one number, size or duration and checks its range.
func (s Setting) parse(text string) (n int64, err error) {
	switch s.Kind() {
	case "size":
		n, err = parseSize(text)
	case "duration":
		var d time.Duration
		if d, err = time.ParseDuration(text); err != nil {
			err = errors.New("must be a duration as in 10s, 1m30s or 500ms")
		}
		n = int64(d)
	default:
		if n, err = strconv.ParseInt(text, 10, 64); err != nil {
			err = errors.New("must be a whole number")
		}
	}
	switch {
	case err != nil:
		return 0, err
	case n < s.Min, s.Max != 0 && n > s.Max, n > math.MaxInt:
		return 0, fmt.Errorf("must be %s; omit it for the default, %s", s.Range(), s.DefaultText())
	}
	return n, nil
}

func parseSwitch(text string) (on bool, err error) {
	if on, err = strconv.ParseBool(text); err != nil {
		err = errors.New("must be true or false")
	}
	return on, err
}

// set parses values and puts them into c. All but lists take one value.
func (s Setting) set(c *server.Config, values []string) error {
	field := s.field(c)
	switch f := field.(type) {
	case *[]string:
		*f = values
		return nil
	case *[]int:
		list := []int{}
		for _, v := range values {
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 {
				return fmt.Errorf("%q must be the number of a descriptor, as in 3", v)
			}
			list = append(list, n)
		}
		*f = list
		return nil
	}
	if len(values) != 1 {
		return errors.New("takes one value, not a list")
	}
	switch f := field.(type) {
	case *string:
		*f = values[0]
		return nil
	case *bool:
		on, err := parseSwitch(values[0])
		if err == nil {
			*f = on
		}
		return err
	}
	return s.setScalar(field, values[0])
}

// setScalar parses one value: a word of a rule, a rate, a number, a size or a duration.
func (s Setting) setScalar(field any, value string) (err error) {
	switch f := field.(type) {
	case *fanout.Policy:
		*f, err = fanout.ParsePolicy(value)
		return err
	case *rules.Who:
		*f, err = rules.ParseWho(value)
		return err
	case *rate.Limit:
		*f, err = rate.Parse(value)
		return err
	case *rules.Choice:
		on, err := parseSwitch(value)
		if err == nil {
			*f = rules.No
			if on {
				*f = rules.Yes
			}
		}
		return err
	}
	n, err := s.parse(value)
	if err != nil {
		return err
	}
	switch f := field.(type) {
	case *time.Duration:
		if *f = time.Duration(n); n == 0 && s.off {
			*f = -1
		}
	case *int:
		if *f = int(n); n == 0 && s.off {
			*f = -1
		}
	default:
		panic(fmt.Sprintf("setting %s: a %T cannot be set", s.Name, field))
	}
	return nil
}

// shown is the setting's value in c as it may be printed.
func (s Setting) shown(c *server.Config) string {
	if s.secret && !reflect.ValueOf(s.field(c)).Elem().IsZero() {
		return `"(set)"`
	}
	if f, ok := s.field(c).(*string); ok && s.redact != nil {
		return strconv.Quote(s.redact(*f))
	}
	return s.text(c)
}

// text is the setting's value in c, in the form that Load reads. It may be secret: see shown.
func (s Setting) text(c *server.Config) string {
	switch f := s.field(c).(type) {
	case *[]string:
		quoted := make([]string, len(*f))
		for i, v := range *f {
			quoted[i] = strconv.Quote(v)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case *[]int:
		return strings.ReplaceAll(fmt.Sprint(*f), " ", ", ")
	case *string:
		return strconv.Quote(*f)
	case *bool:
		return strconv.FormatBool(*f)
	case *fanout.Policy:
		return f.String()
	case *rules.Who:
		return f.String()
	case *rate.Limit:
		return f.String()
	case *rules.Choice:
		return strconv.FormatBool(*f == rules.Yes)
	case *time.Duration:
		return formatDuration(max(0, *f))
	case *int:
		return s.format(int64(max(0, *f)))
	default:
		panic(fmt.Sprintf("setting %s: a %T cannot be shown", s.Name, f))
	}
}

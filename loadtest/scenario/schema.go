package scenario

import (
	"encoding/json"
	"strings"
	"time"
)

// Schema is the JSON Schema of scenario files.
func Schema() ([]byte, error) {
	type object = map[string]any
	properties := object{"scenario": object{"enum": scenarios(), "default": "fanout", "description": "what to run"}}
	for _, key := range gateKeys {
		properties[key] = object{"description": "read by peal-gate only"}
	}
	s := Defaults()
	flags := Flags(&s, "")
	for _, r := range s.rows() {
		one := object{"type": "string"}
		many := false
		switch to := r.to.(type) {
		case *int:
			one = object{"type": "integer", "default": *to}
		case *float64:
			one = object{"type": "number", "default": *to}
		case *bool:
			one = object{"type": "boolean", "default": *to}
		case *string:
		case *time.Duration:
			one = object{"type": "string", "pattern": `^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$|^0$`, "default": to.String()}
		case *[]int:
			one, many = object{"type": "integer"}, true
		default:
			many = strings.HasSuffix(flags.Lookup(r.name).Value.Type(), "Array") || r.is&commas != 0
		}
		if many {
			one = object{"anyOf": []any{one, object{"type": "array", "items": one}}}
		}
		one["description"] = r.help
		if r.of != "" {
			one["description"] = r.help + " (" + r.scenarios() + ")"
		}
		properties[r.name] = one
	}
	b, err := json.MarshalIndent(object{"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "scenario of peal load",
		"type": "object", "additionalProperties": false, "properties": properties}, "", "  ")
	return append(b, '\n'), err
}

// scenarios are those that have the setting, as a text.
func (r *row) scenarios() string {
	if others, ok := strings.CutPrefix(r.of, "-"); ok {
		return "all but " + others
	}
	return strings.ReplaceAll(r.of, " ", ", ")
}

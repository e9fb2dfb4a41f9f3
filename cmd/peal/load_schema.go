package main

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"peal/loadtest/scenario"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of scenario files",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b, err := loadSchema()
			if err == nil {
				_, err = c.OutOrStdout().Write(b)
			}
			return err
		},
	}
}

// loadSchema is the JSON Schema of scenario files.
func loadSchema() ([]byte, error) {
	type object = map[string]any
	names, _ := scenario.Names()
	properties := object{"scenario": object{"enum": names, "default": "fanout", "description": "what to run"}}
	for _, key := range scenario.GateKeys {
		properties[key] = object{"description": "read by peal-gate only"}
	}
	s := scenario.Defaults()
	scenario.Flags(&s, "").VisitAll(func(f *pflag.Flag) {
		one := object{"type": "string"}
		number, _ := strconv.ParseFloat(f.DefValue, 64) // of those that are one
		switch kind := f.Value.Type(); {
		case strings.HasPrefix(kind, "int"):
			one["type"] = "integer"
		case kind == "float64":
			one["type"] = "number"
		case kind == "bool":
			one["type"], one["default"] = "boolean", f.DefValue == "true"
		case kind == "duration":
			one["pattern"], one["default"] = `^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$|^0$`, f.DefValue
		}
		if _, list := f.Value.(interface{ GetSlice() []string }); list {
			one = object{"anyOf": []any{one, object{"type": "array", "items": one}}}
		} else if one["type"] == "integer" || one["type"] == "number" {
			one["default"] = number
		}
		one["description"] = f.Usage
		if of := f.Annotations["scenarios"]; of != nil {
			one["description"] = f.Usage + " (" + of[0] + ")"
		}
		properties[f.Name] = one
	})
	b, err := json.MarshalIndent(object{"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "scenario of peal load",
		"type": "object", "additionalProperties": false, "properties": properties}, "", "  ")
	return append(b, '\n'), err
}

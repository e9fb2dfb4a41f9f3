package httpapi

import (
	"peal/server/dialect"
	"peal/server/log"
	"peal/server/refusal"
	"peal/server/response"
)

// NewEncoder returns the Encoder of a table, nil for the standard, for the messages
// of one log. origins are those of the Fronts, whose pages may read the responses to
// polls; nil: pages of other origins may read none. See dialect.NewEncoder.
func NewEncoder(t *dialect.Table, lineage *log.Lineage, random func(n int64) int64, origins *Origins) *dialect.Encoder {
	e := dialect.NewEncoder(t, lineage, random)
	e.Origin = origins.head
	e.Ended = func(dst []byte, h response.Head, headOnly bool, cause any) []byte {
		s := shape{close: h.Close, headOnly: headOnly, origin: h.Origin}
		return s.appendError(dst, h.Date, cause.(*refusal.Error), response.NoStore)
	}
	return e
}

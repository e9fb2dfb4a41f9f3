package httpapi_test

import "peal/server/dialect"

// table is all dialects.
var table = dialect.NewTable(dialect.Standard()...)

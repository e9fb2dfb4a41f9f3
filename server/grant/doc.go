// Package grant has what a principal may do: the result of a verified token or of a
// key, without the form in which it came.
//
// Its nouns. An [Action] is what a client asks for. A [Grant] is what one token or
// one key allows; its [Scope], which patterns of channels it allows for each action.
// Grants are made by server/token and server/apikey, decided upon by server/permit,
// and kept for each connection by server/httpapi.
//
// All values are immutable once they are made, so any goroutine may read them.
// Allows and May do not allocate.
package grant

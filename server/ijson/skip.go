package ijson

// skip checks the array or object that begins at text[at], and returns its end; -1 if it
// is not JSON, has a name twice, or is too deep. Then the levels of the Reader are those
// of the fault.
func (r *Reader) skip(at int) int {
	text, around, i := r.text, len(r.outer), at
nextValue:
	if i >= len(text) {
		return -1
	}
	switch c := text[i]; c {
	case '"':
		if i, _ = scanString(text, i); i < 0 {
			return -1
		}
	case '{', '[':
		if !r.push(c) {
			return -1
		}
		if i = skipSpace(text, i+1); i < len(text) && text[i] == c+bracket {
			i++
			r.pop()
			break
		}
		if c == '{' {
			goto nextName
		}
		goto nextValue
	default:
		if i = scanScalar(text, i); i < 0 {
			return -1
		}
	}
behind:
	if len(r.outer) == around {
		return i
	}
	if i = skipSpace(text, i); i >= len(text) {
		return -1
	}
	switch text[i] {
	case ',':
		i = skipSpace(text, i+1)
		if r.in.open == '{' {
			goto nextName
		}
		goto nextValue
	case r.in.open + bracket:
		i++
		r.pop()
		goto behind
	}
	return -1
nextName:
	if i >= len(text) || text[i] != '"' {
		return -1
	}
	end, escaped := scanString(text, i)
	if end < 0 || !r.names.add(&r.in.names, i, end, escaped) {
		return -1
	}
	if i = skipSpace(text, end); i >= len(text) || text[i] != ':' {
		return -1
	}
	i = skipSpace(text, i+1)
	goto nextValue
}

package httpapi

import (
	"bytes"

	"peal/loop"
	"peal/server/refusal"
)

// Limits of a chunked body beside the limit of its content.
const (
	maxChunkLine = 256     // size and extensions
	maxTrailer   = 4 << 10 // all trailer lines, which are ignored
)

// chunks reads bodies. Its memory is used again.
type chunks struct {
	content []byte // of a chunked body
	looked  uint64 // bytes of chunked bodies that were looked at, each time they were
}

// body finds the body of the request whose head is the first p.Head bytes of in.
// end == 0 with a nil error means that it is not all there, and that calling
// again is useless before in has need bytes. The body is not larger than limit;
// errBodyTooLarge comes as soon as that is visible.
//
// content aliases in, or the memory of k if the body is chunked.
func (k *chunks) body(h *Head, p *loop.Partial, in []byte, limit int) (content []byte, end, need int, err *refusal.Error) {
	at := int(p.Head)
	switch {
	case h.Chunked:
		p.Limit = uint32(limit)
		if end, need, err = k.scan(p, in); end == 0 || err != nil {
			return nil, 0, need, err
		}
		k.looked += uint64(end - at)
		k.content, end, _, err = appendChunks(k.content[:0], in, at, limit)
		return k.content, end, 0, err
	case h.ContentLength > limit:
		return nil, 0, 0, errBodyTooLarge
	case h.ContentLength > len(in)-at:
		return nil, 0, at + h.ContentLength, nil
	}
	end = at + max(0, h.ContentLength)
	return in[at:end:end], end, 0, nil
}

// scan finds the end of the chunked body behind the head of p, and goes on
// where it ended the last time: no line is looked at before it is whole or too
// long, except once, and no content at all. It finds the same faults as
// appendChunks, which takes the content of a body that is whole.
func (k *chunks) scan(p *loop.Partial, in []byte) (end, need int, err *refusal.Error) {
	if p.Line == 0 {
		p.Line, p.Sought = p.Head, p.Head
	}
	limit := int(p.Limit)
	tooLong := int(p.Head) + 2*limit + 2*maxTrailer
	for p.Trailer == 0 {
		i := int(p.Line)
		if i > tooLong {
			return 0, 0, errBodyTooLarge
		}
		least := max(len(in)+1, i+len("0\r\n\r\n"))
		if !k.lineIsWhole(p, in, maxChunkLine) {
			return 0, least, nil
		}
		size, next, err := chunkSize(in, i, limit)
		if err != nil {
			return 0, 0, err
		}
		if next == 0 {
			p.Sought = uint32(len(in))
			return 0, least, nil
		}
		if size == 0 {
			p.Trailer, p.Line, p.Sought = uint32(next), uint32(next), uint32(next)
			break
		}
		if int(p.Content)+size > limit {
			return 0, 0, errBodyTooLarge
		}
		behind := next + size + len("\r\n")
		if next+size < len(in) && in[next+size] != '\r' || behind <= len(in) && in[behind-1] != '\n' {
			return 0, 0, errChunk
		}
		if behind > len(in) {
			return 0, behind + len("0\r\n\r\n"), nil
		}
		p.Content += uint32(size)
		p.Line, p.Sought = uint32(behind), uint32(behind)
	}
	for {
		if !k.lineIsWhole(p, in, maxTrailer) {
			return 0, len(in) + 1, nil
		}
		next, empty, err := trailerLine(in, int(p.Line))
		if err != nil {
			return 0, 0, err
		}
		if next == 0 {
			p.Sought = uint32(len(in))
			return 0, len(in) + 1, nil
		}
		if empty {
			return next, 0, nil
		}
		if next-int(p.Trailer) > maxTrailer {
			return 0, 0, errHeadTooLarge
		}
		p.Line, p.Sought = uint32(next), uint32(next)
	}
}

// lineIsWhole reports whether it is time to read the line at p.Line: the first
// time, and when its end has come, or more than it may have.
func (k *chunks) lineIsWhole(p *loop.Partial, in []byte, longest int) bool {
	sought := int(p.Sought)
	k.looked += uint64(min(len(in)-sought, longest))
	if sought == int(p.Line) || len(in)-int(p.Line) > longest || bytes.IndexByte(in[sought:], '\n') >= 0 {
		p.Sought = p.Line // it may be asked for again, when what follows it has come
		return true
	}
	p.Sought = uint32(len(in))
	return false
}

// appendChunks appends the content of the chunked body that begins at in[at:]
// (RFC 9112 §7.1), strictly: sizes are hexadecimal digits without a sign,
// spaces or leading bulk, lines end with CR LF. Extensions and trailers are
// checked for control characters and otherwise ignored. For end and need see body.
func appendChunks(dst, in []byte, at, limit int) (content []byte, end, need int, err *refusal.Error) {
	// Chunks of one byte cost six; whoever pads more than that is not honest.
	tooLong := at + 2*limit + 2*maxTrailer
	i := at
	for {
		if i > tooLong {
			return dst, 0, 0, errBodyTooLarge
		}
		size, next, err := chunkSize(in, i, limit)
		if err != nil || next == 0 {
			return dst, 0, max(len(in)+1, i+len("0\r\n\r\n")), err
		}
		i = next
		if size == 0 {
			break
		}
		if len(dst)+size > limit {
			return dst, 0, 0, errBodyTooLarge
		}
		if need := i + size + len("\r\n"); need > len(in) {
			if i+size < len(in) && in[i+size] != '\r' {
				return dst, 0, 0, errChunk
			}
			return dst, 0, need + len("0\r\n\r\n"), nil
		}
		dst = append(dst, in[i:i+size]...)
		i += size
		if in[i] != '\r' || in[i+1] != '\n' {
			return dst, 0, 0, errChunk
		}
		i += 2
	}
	for start := i; ; {
		next, empty, err := trailerLine(in, i)
		if err != nil || next == 0 {
			return dst, 0, len(in) + 1, err
		}
		i = next
		if empty {
			return dst, i, 0, nil
		}
		if i-start > maxTrailer {
			return dst, 0, 0, errHeadTooLarge
		}
	}
}

// chunkSize reads the line with the size of a chunk at i; next is 0 if in ends before.
func chunkSize(in []byte, i, limit int) (size, next int, err *refusal.Error) {
	start := i
	for ; i < len(in); i++ {
		digit := hexValue(in[i])
		if digit < 0 {
			break
		}
		// A size has at most 8 digits: leading zeros do not go on for ever.
		if size = size<<4 | digit; size > limit || i-start >= 8 {
			return 0, 0, errBodyTooLarge
		}
	}
	if i == len(in) {
		return 0, 0, nil
	}
	if i == start {
		return 0, 0, errChunk
	}
	if in[i] == ';' {
		for i < len(in) && valueByte[in[i]] {
			if i++; i-start > maxChunkLine {
				return 0, 0, errChunk
			}
		}
		if i == len(in) {
			return 0, 0, nil
		}
	}
	if in[i] != '\r' {
		return 0, 0, errChunk
	}
	if i+1 == len(in) {
		return 0, 0, nil
	}
	if in[i+1] != '\n' {
		return 0, 0, errChunk
	}
	return size, i + 2, nil
}

// trailerLine reads one line of trailers at i; next is 0 if in ends before.
func trailerLine(in []byte, i int) (next int, empty bool, err *refusal.Error) {
	start := i
	for i < len(in) && valueByte[in[i]] {
		if i++; i-start > maxTrailer {
			return 0, false, errHeadTooLarge
		}
	}
	if i == len(in) {
		return 0, false, nil
	}
	if in[i] != '\r' {
		return 0, false, errChunk
	}
	if i+1 == len(in) {
		return 0, false, nil
	}
	if in[i+1] != '\n' {
		return 0, false, errChunk
	}
	return i + 2, i == start, nil
}

// hexValue returns the value of a hexadecimal digit, -1 for other bytes.
func hexValue(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

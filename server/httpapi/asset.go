package httpapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// asset is a file of the program that is served: its bytes as they are and
// compressed, each with the head lines that name it. Nobody changes it.
type asset struct {
	contentType string
	plain       representation
	gzipped     representation
}

// representation is one form of an asset (RFC 9110 §3.2) and its entity tag.
type representation struct {
	body []byte
	etag string
	head string // all its own lines
}

// newAsset compresses body once. head is lines of every response, 304 too.
func newAsset(contentType, head string, body []byte) asset {
	sum := sha256.Sum256(body)
	tag := hex.EncodeToString(sum[:8])
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(body)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic("httpapi: compress into memory: " + err.Error()) // cannot fail
	}
	// Two forms are two representations, so their strong tags differ (RFC 9110 §8.8.3.3).
	form := func(body []byte, tag, encoding string) representation {
		etag := strconv.Quote(tag)
		return representation{body, etag, head + encoding + "Vary: Accept-Encoding\r\nETag: " + etag + "\r\n"}
	}
	return asset{contentType, form(body, tag, ""), form(b.Bytes(), tag+"-gzip", "Content-Encoding: gzip\r\n")}
}

// serveAsset answers with the asset in the form that the client takes, or with
// 304 if the client has it.
func (x *exchange) serveAsset(a *asset) {
	form := &a.plain
	if acceptsGzip(x.lines().PeekAll("Accept-Encoding")) {
		form = &a.gzipped
	}
	if hasTag(x.rare("If-None-Match"), a.plain.etag, a.gzipped.etag) {
		x.reply(304, "", form.head, nil)
		return
	}
	x.reply(200, a.contentType, form.head, form.body)
}

// hasTag reports whether If-None-Match has one of the tags, by weak comparison
// (RFC 9110 §13.1.2): a proxy that compresses makes a strong tag a weak one.
func hasTag(values [][]byte, tags ...string) bool {
	for _, value := range values {
		for item := range bytes.SplitSeq(value, []byte{','}) {
			item = bytes.TrimPrefix(bytes.TrimSpace(item), []byte("W/"))
			if string(item) == "*" {
				return true
			}
			for _, tag := range tags {
				if string(item) == tag {
					return true
				}
			}
		}
	}
	return false
}

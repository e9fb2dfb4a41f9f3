package dialect

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// sign adds to a path the parameters that authenticate the publisher of body (Pusher's
// HTTP API reference): the method, the path and the query in alphabetical order under an
// HMAC-SHA256. A signature is good for ten minutes.
func sign(secret, method, path string, body []byte, unix int64) string {
	path, query, _ := strings.Cut(path, "?")
	digest := md5.Sum(body)
	query += "&auth_timestamp=" + strconv.FormatInt(unix, 10) + "&auth_version=1.0&body_md5=" + hex.EncodeToString(digest[:])
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(method + "\n" + path + "\n" + query))
	return path + "?" + query + "&auth_signature=" + hex.EncodeToString(mac.Sum(nil))
}

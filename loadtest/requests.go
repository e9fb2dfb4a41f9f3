package loadtest

import "strconv"

// textHeader is of a publication that is its message.
const textHeader = "Content-Type: text/plain\r\n"

// AppendRequest appends a request with a body. header is further lines, each with its
// CRLF, here and below.
func AppendRequest(dst []byte, method, path, host, header string, body []byte) []byte {
	dst = appendAll(dst, method, " ", path, " HTTP/1.1\r\nHost: ", host, "\r\n", header, "Content-Length: ")
	dst = append(strconv.AppendInt(dst, int64(len(body)), 10), "\r\n\r\n"...)
	return append(dst, body...)
}

func appendGet(dst []byte, path, host, header string) []byte {
	return appendAll(dst, "GET ", path, " HTTP/1.1\r\nHost: ", host, "\r\n", header, "\r\n")
}

func appendAll(dst []byte, parts ...string) []byte {
	for _, part := range parts {
		dst = append(dst, part...)
	}
	return dst
}

// appendUpgrade appends the opening of a WebSocket.
func appendUpgrade(dst []byte, path, host, header string) []byte {
	return appendGet(dst, path, host, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "+leanKey+"\r\n"+header)
}

// Package endtoend has no code of its own: its tests drive a whole server over
// real sockets with clients that others wrote, so that a mistake which server
// and client would share cannot hide: lxzan/gws for WebSocket, net/http for
// polls and event streams, bytes written by hand for what no client sends,
// Chromium's WebSocket, EventSource and fetch, and PHP. None of them knows more
// of Peal than its URL. Where a test is about the process (signals, a crash,
// thousands of connections), it runs the real binary, which TestMain builds
// once; elsewhere the server runs in the test, under the race detector. The
// tools `chromium` and `php` are looked for on PATH: without them their tests
// are skipped, or fail where PEAL_E2E=require says that they must be there.
package endtoend

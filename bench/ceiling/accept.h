/*
 * accept.h: what both programs in this folder do for new connections: listen, accept, and
 * Sec-WebSocket-Accept (RFC 6455 §4.2.2). Include it behind the headers of the system.
 */
#include <stdint.h>
#include <string.h>

/* listen_on listens on a port of loopback, 0: any, and returns the listener and its port. */
static int listen_on(int *port)
{
	int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(*port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t at_len = sizeof at;
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* inherited by accept */
	if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 4096)) {
		perror("listen");
		exit(1);
	}
	getsockname(listener, (struct sockaddr *)&at, &at_len);
	*port = ntohs(at.sin_port);
	return listener;
}

/* watch adds a socket, or the listener, to the epoll set: level-triggered, because one recv
 * takes all of a request, and an edge would need a second one to learn that. */
static void watch(int ep, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
}

/* accept_all accepts what waits, at most 64: the listener is level-triggered, too. opened makes
 * the socket a connection. */
static void accept_all(int ep, int listener, int max_fd, void opened(int fd))
{
	for (int i = 0; i < 64; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		if (fd >= max_fd) {
			close(fd);
			continue;
		}
		opened(fd);
		watch(ep, fd);
	}
}

static uint32_t rol(uint32_t v, int n) { return v << n | v >> (32 - n); }

static void sha1_block(uint32_t h[5], const uint8_t *p)
{
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4*i] << 24 | p[4*i+1] << 16 | p[4*i+2] << 8 | p[4*i+3];
	for (int i = 16; i < 80; i++)
		w[i] = rol(w[i-3] ^ w[i-8] ^ w[i-14] ^ w[i-16], 1);
	for (int i = 0; i < 80; i++) {
		uint32_t f, k;
		if (i < 20)      { f = (b & c) | (~b & d);          k = 0x5A827999; }
		else if (i < 40) { f = b ^ c ^ d;                   k = 0x6ED9EBA1; }
		else if (i < 60) { f = (b & c) | (b & d) | (c & d); k = 0x8F1BBCDC; }
		else             { f = b ^ c ^ d;                   k = 0xCA62C1D6; }
		uint32_t t = rol(a, 5) + f + e + k + w[i];
		e = d; d = c; c = rol(b, 30); b = a; a = t;
	}
	h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e;
}

/* accept_key writes the 28 characters for the client's 24-character key. */
static void accept_key(const char *key, char out[28])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
	uint8_t m[128] = {0}, d[21] = {0};
	memcpy(m, key, 24);
	memcpy(m + 24, guid, 36);
	m[60] = 0x80;
	m[126] = 480 >> 8; /* 60 bytes, in bits */
	m[127] = 480 & 255;
	sha1_block(h, m);
	sha1_block(h, m + 64);
	for (int i = 0; i < 20; i++)
		d[i] = h[i / 4] >> (24 - 8 * (i % 4));
	for (int i = 0, o = 0; i < 21; i += 3) {
		uint32_t v = d[i] << 16 | d[i+1] << 8 | d[i+2];
		for (int s = 18; s >= 0; s -= 6)
			out[o++] = b64[v >> s & 63];
	}
	out[27] = '=';
}

/* accept.h: Sec-WebSocket-Accept (RFC 6455 §4.2.2), of both programs in this folder. */
#include <stdint.h>
#include <string.h>

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

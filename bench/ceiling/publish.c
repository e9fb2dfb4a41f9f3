/*
 * publish: the least a server can do on this kernel that takes publications over HTTP
 * and delivers each to the WebSockets on its channel.
 *
 * It exists to be compared with, not to be used: one thread, no history, no timers, no
 * limits but the ones named below. Channels are c0, c1, ..., as the load generator names
 * them. System calls are those that Peal makes, and no others:
 *
 *   turn = epoll_wait      all ready events
 *        → one recv each   complete requests are answered and their messages framed in memory
 *        → one send for each response, then one for each delivery
 *
 * A socket that does not take all of its bytes is closed: a closed loop never fills one.
 *
 *   usage: publish PORT    prints "ready PORT" when it accepts
 *
 * gcc -O2 -Wall -Wextra -o publish publish.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "accept.h"

enum {
	MAX_FD       = 65536,
	MAX_EVENTS   = 4096,
	MAX_CHANNELS = 1 << 20,
	MAX_REQUEST  = 1 << 14,  /* one recv holds at least one whole request */
	MAX_OUT      = 1 << 18,  /* responses, and deliveries, of one turn; beyond that, and ... */
	OUT_BYTES    = 1 << 26,  /* ... beyond that, connections that ask for more are closed */
};

/* A connection is a subscriber once it was upgraded; next is its neighbour on the channel. */
struct conn {
	int32_t channel, next; /* channel −1: none */
	uint32_t part_len;
	uint8_t *part;         /* the beginning of a request, or NULL */
};

/* What the turn sends, in order. */
struct out { int fd; uint32_t from, len; };

static struct conn conns[MAX_FD];
static int32_t     first[MAX_CHANNELS]; /* fd + 1 of its newest subscriber; 0: none */
static struct out  responses[MAX_OUT], deliveries[MAX_OUT];
static uint32_t    response_count, delivery_count;
static uint8_t     out_bytes[OUT_BYTES];
static uint32_t    out_len;
static uint8_t     input[2 * MAX_REQUEST];
static uint64_t    sequence;
static int         ep;

static void drop(int fd)
{
	struct conn *c = &conns[fd];
	if (c->channel >= 0) {
		int32_t *at = &first[c->channel];
		while (*at != fd + 1)
			at = &conns[*at - 1].next;
		*at = c->next;
	}
	free(c->part);
	memset(c, 0, sizeof *c);
	c->channel = -1;
	close(fd); /* leaves the epoll set, too */
}

/* number reads the channel of a path that has it behind "channel=c"; −1: it has none. */
static int32_t number(const uint8_t *head, const uint8_t *end)
{
	const uint8_t *line = memchr(head, '\r', end - head);
	const uint8_t *at = line ? memmem(head, line - head, "channel=c", 9) : NULL;
	if (!at)
		return -1;
	int32_t n = 0;
	for (at += 9; at < line && *at >= '0' && *at <= '9'; at++)
		if ((n = 10 * n + *at - '0') >= MAX_CHANNELS)
			return -1;
	return n;
}

/* value finds a field of the head; NULL: it is not there. */
static const char *value(const uint8_t *head, const uint8_t *end, const char *name)
{
	size_t n = strlen(name);
	for (const uint8_t *at = head; (at = memchr(at, '\n', end - at)); ) {
		if ((size_t)(end - ++at) > n && at[n] == ':' && strncasecmp((const char *)at, name, n) == 0) {
			for (at += n + 1; *at == ' '; at++)
				;
			return (const char *)at;
		}
	}
	return NULL;
}

static struct out put(int fd, const void *b, uint32_t n)
{
	struct out o = {fd, out_len, n};
	memcpy(out_bytes + out_len, b, n);
	out_len += n;
	return o;
}

/* full tells whether there is no room for one more response, and a message of n bytes. */
static int full(size_t n) { return response_count == MAX_OUT || out_len + n + 512 > OUT_BYTES; }

static int upgrade(int fd, const uint8_t *head, const uint8_t *end)
{
	const char *key = value(head, end, "Sec-WebSocket-Key");
	int32_t channel = number(head, end);
	if (!key || (const char *)end - key < 24 || channel < 0 || full(0))
		return -1;
	char answer[160] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Accept: ";
	size_t n = strlen(answer);
	accept_key(key, answer + n);
	memcpy(answer + n + 28, "\r\n\r\n", 4);
	responses[response_count++] = put(fd, answer, n + 32);
	conns[fd].channel = channel;
	conns[fd].next = first[channel];
	first[channel] = fd + 1;
	return 0;
}

/* publish frames the message for each subscriber once, and answers as long as Peal does. */
static int publish(int fd, const uint8_t *head, const uint8_t *end, const uint8_t *body, size_t n)
{
	int32_t channel = number(head, end);
	if (channel < 0 || full(n))
		return -1;
	char json[64], answer[256];
	int j = snprintf(json, sizeof json, "{\"cursor\":\"00000000000000-%llu\"}", (unsigned long long)++sequence);
	int a = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", j, json);
	responses[response_count++] = put(fd, answer, a);
	uint8_t frame[4] = {0x81, n < 126 ? n : 126, n >> 8, n};
	uint32_t from = out_len;
	put(0, frame, n < 126 ? 2 : 4);
	put(0, body, n);
	for (int32_t s = first[channel]; s && delivery_count < MAX_OUT; s = conns[s - 1].next)
		deliveries[delivery_count++] = (struct out){s - 1, from, out_len - from};
	return 0;
}

/* requests takes whole requests from b and returns how many bytes it used, or −1 when the
 * connection is to be closed. Frames of subscribers are discarded. */
static ssize_t requests(int fd, const uint8_t *b, size_t len)
{
	size_t at = 0;
	while (conns[fd].channel < 0 && at < len) {
		const uint8_t *head = b + at, *end = memmem(head, len - at, "\r\n\r\n", 4);
		if (!end)
			return len - at > 8192 ? -1 : (ssize_t)at;
		const uint8_t *body = end + 4;
		if (memcmp(head, "GET ", 4) == 0) {
			if (upgrade(fd, head, end))
				return -1;
			at = body - b;
			continue;
		}
		const char *length = value(head, end, "Content-Length");
		long n = length ? strtol(length, NULL, 10) : 0;
		if (memcmp(head, "POST", 4) || n < 0 || n > MAX_REQUEST / 2)
			return -1;
		if ((size_t)n > len - (body - b))
			return at;
		if (publish(fd, head, end, body, n))
			return -1;
		at = body + n - b;
	}
	return conns[fd].channel < 0 ? (ssize_t)at : (ssize_t)len;
}

static void readable(int fd)
{
	struct conn *c = &conns[fd];
	size_t len = c->part_len;
	if (len)
		memcpy(input, c->part, len);
	ssize_t n = recv(fd, input + len, MAX_REQUEST, 0), used;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || (used = requests(fd, input, len += n)) < 0) {
		drop(fd);
		return;
	}
	len -= used;
	free(c->part);
	c->part = NULL;
	c->part_len = len; /* of one request: < MAX_REQUEST */
	if (len) {
		c->part = malloc(len);
		memcpy(c->part, input + used, len);
	}
}

static void send_all(const struct out *all, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct out *o = &all[i];
		if (send(o->fd, out_bytes + o->from, o->len, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)o->len)
			shutdown(o->fd, SHUT_RDWR); /* closed by its next event */
	}
}

static void opened(int fd) { conns[fd].channel = -1; }

int main(int argc, char **argv)
{
	static struct epoll_event events[MAX_EVENTS];
	if (argc != 2) {
		fprintf(stderr, "usage: publish PORT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	int port = atoi(argv[1]), listener = listen_on(&port);
	ep = epoll_create1(EPOLL_CLOEXEC);
	watch(ep, listener);
	printf("ready %d\n", port);
	fflush(stdout);

	for (;;) {
		int n = epoll_wait(ep, events, MAX_EVENTS, -1);
		int waiting = 0;
		out_len = response_count = delivery_count = 0;
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				waiting = 1;
			else
				readable(events[i].data.fd);
		}
		send_all(responses, response_count);
		send_all(deliveries, delivery_count);
		if (waiting) /* last: a descriptor that was closed in this turn must not be another's before */
			accept_all(ep, listener, MAX_FD, opened);
	}
}

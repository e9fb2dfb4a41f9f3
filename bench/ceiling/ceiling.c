/*
 * ceiling: the least a WebSocket broadcaster can do on this kernel.
 *
 * It exists to be compared with, not to be used. One thread, level-triggered
 * epoll, no channels, no timers, no limits but the ones named below. A frame
 * from any client goes to all connected clients, itself included, except to
 * those that connected on the path /pub: they only publish.
 *
 *   turn = epoll_wait            all ready events
 *        → read them             frames are appended, server-side encoded, to one shared log
 *        → one send per receiver from the receiver's offset to the log's end
 *
 * So whatever arrives while a turn is sending is coalesced into the next one.
 * A receiver holds an absolute offset into the log and nothing else; when its
 * socket is full it waits for EPOLLOUT, when the log no longer has its offset
 * it is closed.
 *
 *   usage: ceiling PORT          prints "ready PORT" when it accepts
 *
 * gcc -O2 -Wall -Wextra -o ceiling ceiling.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "accept.h"

enum {
	MAX_FD     = 65536,
	MAX_EVENTS = 4096,
	MAX_FRAME  = 1 << 16,          /* payload of one client frame */
	READ_BYTES = 1 << 17,          /* one read; holds at least one whole frame */
	LOG_KEEP   = 4 << 20,          /* bytes a receiver may be behind */
	LOG_BYTES  = 2 * LOG_KEEP,     /* the log slides down when it is full */
};

enum { FREE, HEAD, RECEIVER, PUBLISHER };

/* A socket that is FULL waits for EPOLLOUT; WRITABLE: that came, in this turn. */
enum { OPEN, FULL, WRITABLE };

struct conn {
	uint64_t sent;     /* absolute log offset: everything before it was sent */
	uint8_t *part;     /* unread bytes of an incomplete head or frame, or NULL */
	uint32_t part_len;
	uint32_t index;    /* in receivers[] */
	uint8_t  state;
	uint8_t  blocked;  /* OPEN, FULL or WRITABLE */
};

static struct conn conns[MAX_FD];
static int         receivers[MAX_FD];
static uint32_t    receiver_count;

static uint8_t  log_bytes[LOG_BYTES];
static uint64_t log_base; /* absolute offset of log_bytes[0] */
static uint64_t log_end;

static int     ep;
static uint8_t input[READ_BYTES + MAX_FRAME + 64];

/* ---- connections ---- */

static void drop(int fd)
{
	struct conn *c = &conns[fd];
	if (c->state == RECEIVER) {
		int last = receivers[--receiver_count];
		receivers[c->index] = last;
		conns[last].index = c->index;
	}
	free(c->part);
	memset(c, 0, sizeof *c);
	close(fd); /* leaves the epoll set, too */
}

static void want_write(int fd, int on)
{
	struct epoll_event ev = {.events = EPOLLIN | (on ? EPOLLOUT : 0), .data.fd = fd};
	epoll_ctl(ep, EPOLL_CTL_MOD, fd, &ev);
}

/* flush sends one receiver what waits for it, in one send. 0: fine, -1: closed. */
static int flush(int fd)
{
	struct conn *c = &conns[fd];
	if (c->sent < log_base) { /* too far behind */
		drop(fd);
		return -1;
	}
	ssize_t n = send(fd, log_bytes + (c->sent - log_base), log_end - c->sent, MSG_NOSIGNAL);
	if (n < 0) {
		if (errno != EAGAIN) {
			drop(fd);
			return -1;
		}
		n = 0;
	}
	c->sent += n;
	int behind = c->sent < log_end;
	if (behind != (c->blocked != OPEN))
		want_write(fd, behind);
	c->blocked = behind ? FULL : OPEN;
	return 0;
}

/* append puts one server frame (FIN, opcode of the client's) into the log. */
static void append(uint8_t opcode, const uint8_t *payload, size_t n)
{
	if (log_end - log_base + n + 10 > LOG_BYTES) {
		uint64_t keep = log_end - LOG_KEEP;
		memmove(log_bytes, log_bytes + (keep - log_base), LOG_KEEP);
		log_base = keep;
	}
	uint8_t *p = log_bytes + (log_end - log_base);
	size_t head = 2;
	p[0] = 0x80 | opcode;
	if (n < 126) {
		p[1] = n;
	} else {
		p[1] = 126; /* MAX_FRAME − 1 fits 16 bits */
		p[2] = n >> 8;
		p[3] = n;
		head = 4;
	}
	memcpy(p + head, payload, n);
	log_end += head + n;
}

/* frames takes whole client frames from b and returns how many bytes it used,
 * or −1 when the connection is to be closed. */
static ssize_t frames(int fd, uint8_t *b, size_t len)
{
	size_t at = 0;
	for (;;) {
		uint8_t *p = b + at;
		size_t left = len - at, head = 6, n;
		if (left < 6)
			return at;
		n = p[1] & 127;
		if (!(p[1] & 128) || n == 127)
			return -1; /* unmasked, or longer than MAX_FRAME */
		if (n == 126) {
			n = p[2] << 8 | p[3];
			head = 8;
		}
		if (left < head + n)
			return at;
		uint8_t *mask = p + head - 4, *data = p + head;
		for (size_t i = 0; i < n; i++)
			data[i] ^= mask[i & 3];
		switch (p[0] & 15) {
		case 1:
		case 2:
			append(p[0] & 15, data, n);
			break;
		case 8:
			return -1;
		case 9: { /* a small pong; a full socket may lose it */
			uint8_t pong[127] = {0x8A, n};
			if (n > 125)
				return -1;
			memcpy(pong + 2, data, n);
			if (conns[fd].sent == log_end || conns[fd].state == PUBLISHER)
				send(fd, pong, 2 + n, MSG_NOSIGNAL);
			break;
		}
		}
		at += head + n;
	}
}

/* head answers the upgrade when it is whole. Same result as frames. */
static ssize_t head(int fd, uint8_t *b, size_t len)
{
	struct conn *c = &conns[fd];
	uint8_t *end = memmem(b, len, "\r\n\r\n", 4);
	if (!end)
		return len > 8192 ? -1 : 0;
	*end = 0; /* for the string functions */
	char *key = strcasestr((char *)b, "\r\nSec-WebSocket-Key:");
	if (!key)
		return -1;
	key += 20;
	while (*key == ' ')
		key++;
	if (strlen(key) < 24)
		return -1;
	char answer[160] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Accept: ";
	size_t n = strlen(answer);
	accept_key(key, answer + n);
	memcpy(answer + n + 28, "\r\n\r\n", 4);
	if (send(fd, answer, n + 32, MSG_NOSIGNAL) != (ssize_t)(n + 32))
		return -1;
	if (strncmp((char *)b, "GET /pub", 8) == 0 && (b[8] == ' ' || b[8] == '?')) {
		c->state = PUBLISHER;
	} else {
		c->state = RECEIVER;
		c->sent = log_end;
		c->index = receiver_count;
		receivers[receiver_count++] = fd;
	}
	return end + 4 - b;
}

static void readable(int fd)
{
	struct conn *c = &conns[fd];
	size_t len = c->part_len;
	if (len)
		memcpy(input, c->part, len);
	ssize_t n = recv(fd, input + len, READ_BYTES, 0);
	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			drop(fd);
		return;
	}
	len += n;
	size_t used = 0;
	if (c->state == HEAD) {
		ssize_t u = head(fd, input, len);
		if (u < 0) {
			drop(fd);
			return;
		}
		used = u;
	}
	if (c->state != HEAD) {
		ssize_t u = frames(fd, input + used, len - used);
		if (u < 0) {
			drop(fd);
			return;
		}
		used += u;
	}
	len -= used;
	free(c->part);
	c->part = NULL;
	c->part_len = len; /* at most one incomplete frame: < MAX_FRAME + 8 */
	if (len) {
		c->part = malloc(len);
		memcpy(c->part, input + used, len);
	}
}

static void opened(int fd) { conns[fd].state = HEAD; }

int main(int argc, char **argv)
{
	static struct epoll_event events[MAX_EVENTS];
	if (argc != 2) {
		fprintf(stderr, "usage: ceiling PORT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	int port = atoi(argv[1]), listener = listen_on(&port);
	ep = epoll_create1(EPOLL_CLOEXEC);
	watch(ep, listener);
	printf("ready %d\n", port);
	fflush(stdout);

	for (;;) {
		uint64_t before = log_end;
		int n = epoll_wait(ep, events, MAX_EVENTS, -1);
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			if (fd == listener) {
				accept_all(ep, listener, MAX_FD, opened);
				continue;
			}
			if (conns[fd].state == FREE)
				continue; /* dropped earlier in this turn */
			if (events[i].events & ~EPOLLOUT) {
				readable(fd);
				if (conns[fd].state == FREE)
					continue;
			}
			if (events[i].events & EPOLLOUT && conns[fd].blocked == FULL)
				conns[fd].blocked = WRITABLE;
		}
		if (log_end == before) { /* only those that waited have something to get */
			for (int i = 0; i < n; i++) {
				int fd = events[i].data.fd;
				if (conns[fd].state == RECEIVER && conns[fd].blocked == WRITABLE)
					flush(fd);
			}
			continue;
		}
		/* Backwards: drop() moves the last receiver into the hole. */
		for (uint32_t i = receiver_count; i-- > 0;)
			if (conns[receivers[i]].blocked != FULL)
				flush(receivers[i]);
	}
}

/*
 * uwebsockets: a server with uWebSockets to compare with: it opens WebSockets on
 * /ws?channel=NAME and subscribes each to its channel.
 *
 * With the sources of github.com/uNetworking/uWebSockets in $UWS, uSockets in it:
 *
 *   gcc -O3 -flto -DLIBUS_NO_SSL -I$UWS/uSockets/src -c $UWS/uSockets/src/*.c $UWS/uSockets/src/eventing/*.c
 *   g++ -std=c++20 -O3 -flto -DLIBUS_NO_SSL -DUWS_NO_ZLIB -I$UWS/src -I$UWS/uSockets/src -o uwebsockets bench/ceiling/uwebsockets.cc *.o
 *   scripts/bench.sh --requests --rows "^accept-c$" --versus "$PWD/uwebsockets {port}"
 */
#include <cstdio>
#include <cstdlib>
#include <string>

#include "App.h"

struct Data { std::string channel; };

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: uwebsockets PORT\n");
		return 2;
	}
	int port = atoi(argv[1]);
	uWS::App().ws<Data>("/ws", {
		.compression = uWS::DISABLED,
		.upgrade = [](auto *res, auto *req, auto *context) {
			res->template upgrade<Data>({std::string(req->getQuery("channel"))}, req->getHeader("sec-websocket-key"),
				req->getHeader("sec-websocket-protocol"), req->getHeader("sec-websocket-extensions"), context);
		},
		.open = [](auto *ws) { ws->subscribe(ws->getUserData()->channel); },
	}).listen("127.0.0.1", port, [port](auto *listener) {
		if (!listener) {
			fprintf(stderr, "uwebsockets: cannot listen on port %d\n", port);
			exit(1);
		}
		printf("ready %d\n", port);
		fflush(stdout);
	}).run();
}

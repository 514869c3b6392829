/* SPDX-License-Identifier: MIT */
/*
 * call-helper.h - clients and servers that must open, and requests and responses that must come
 */
#ifndef ZCP_TESTS_CALL_HELPER_H
#define ZCP_TESTS_CALL_HELPER_H

#include <errno.h>
#include <string.h>

#include "lib-helper.h"

static inline zcp_server *open_server(zcp_node *node, const struct zcp_server_options *options)
{
	struct zcp_server_options o = { 0 };
	zcp_server *server;

	if (options)
		o = *options;
	o.sz = sizeof(o);
	ok(zcp_server_open(&server, node, &lib_topic, &o));
	return server;
}

static inline zcp_client *open_client(zcp_node *node, const struct zcp_client_options *options)
{
	struct zcp_client_options o = { 0 };
	zcp_client *client;

	if (options)
		o = *options;
	o.sz = sizeof(o);
	ok(zcp_client_open(&client, node, &lib_topic, &o));
	return client;
}

static inline void take_request(zcp_server *server, struct zcp_request *request)
{
	for (;;) {
		int r = zcp_server_take(server, request);

		if (r == 0)
			return;
		ck_assert_msg(r == -EAGAIN, "%d: %s", r, zcp_last_error());
		ok(zcp_server_wait(server, 20 * SECOND));
	}
}

static inline void take_response(zcp_client *client, struct zcp_response *response)
{
	for (;;) {
		int r = zcp_client_take(client, response);

		if (r == 0)
			return;
		ck_assert_msg(r == -EAGAIN, "%d: %s", r, zcp_last_error());
		ok(zcp_client_wait(client, 20 * SECOND));
	}
}

static inline uint64_t number_of(const void *data)
{
	uint64_t number;

	memcpy(&number, data, sizeof(number));
	return number;
}

#endif

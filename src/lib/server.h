/* SPDX-License-Identifier: MIT */
/*
 * server.h - the inside of a server
 *
 * A request in the user's hands is a sample of the subscriber, and the entry of asked[] with the same index, which
 * remembers who asked and what was answered.
 */
#ifndef ZCP_LIB_SERVER_H
#define ZCP_LIB_SERVER_H

#include "lib/exchange.h"

struct asked {
	struct connection *by;		/* NULL: the server is closed */
	uint64_t id;
	bool one_way, answered;
};

struct zcp_server {
	struct exchange exchange;	/* first: it begins with the subscriber and the endpoint */
	struct asked asked[];		/* [max_held] */
};

#endif

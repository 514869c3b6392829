/* SPDX-License-Identifier: MIT */
/*
 * printer.h - one message as `zcp sub` and `zcp call` show it: a line for people, a hex dump, or a JSON object
 *
 * Payloads are copied before they are judged: their publisher may be changing them, and "valid UTF-8" has to
 * stay true until it is printed.
 */
#ifndef ZCP_TOOLS_PRINTER_H
#define ZCP_TOOLS_PRINTER_H

#include <stdbool.h>
#include <stddef.h>

#include "zcp/zcp.h"

enum printer_mode {
	PRINTER_LINE,
	PRINTER_HEX,
	PRINTER_JSON,
};

struct printer {
	enum printer_mode mode;
	bool several;			/* more than one publisher was seen: say who */
	uint64_t publisher;		/* the first one */
	bool responses;			/* it shows what a server sent: samples have its id as `publisher`, and the number of the call as `sequence` */
	bool more;			/* the response is not the last one */
};

/*
 * The bytes and nothing else, past the buffer of stdout. 0; -EINTR a signal; -EPIPE nobody reads any more; or another negative
 * errno value after the complaint.
 */
int printer_raw(const char *data, size_t size);

/* Print @sample to stdout. 0, or -ENOMEM. What stdout itself says is looked at by tool_finish_stdout(). */
int printer_print(struct printer *printer, const struct zcp_sample *sample);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * printer.h - one message as `zcp sub` shows it: a line for people, a hex dump, or a JSON object
 *
 * Payloads are copied before they are judged: their publisher may be changing them, and "valid UTF-8" has to
 * stay true until it is printed.
 */
#ifndef ZCP_TOOLS_PRINTER_H
#define ZCP_TOOLS_PRINTER_H

#include <stdbool.h>

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
};

/* Print @sample to stdout. 0, or -ENOMEM. What stdout itself says is looked at by tool_finish_stdout(). */
int printer_print(struct printer *printer, const struct zcp_sample *sample);

#endif

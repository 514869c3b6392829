/* SPDX-License-Identifier: MIT */
/*
 * printer.c - see printer.h
 */
#include "tools/printer.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "tools/interrupt.h"
#include "tools/text.h"
#include "tools/tool.h"

#define PREVIEW_BYTES 256
#define PREVIEW_COLUMNS 64
#define PREVIEW_HEX 20

/* Length of the longest prefix of @size bytes that does not end inside a UTF-8 sequence. */
static size_t whole_characters(const char *bytes, size_t size)
{
	size_t n = size;

	while (n && size - n < 3 && ((unsigned char)bytes[n - 1] & 0xc0) == 0x80)
		n--;
	return n && (unsigned char)bytes[n - 1] >= 0xc0 ? n - 1 : size;
}

static int print_preview(const struct zcp_sample *sample)
{
	char bytes[PREVIEW_BYTES];
	size_t n = sample->size < sizeof(bytes) ? sample->size : sizeof(bytes);
	size_t text = n;

	zcp_sample_copy(sample, bytes, n);
	if (n < sample->size)
		text = whole_characters(bytes, n);
	else if (n && bytes[n - 1] == '\n')
		text--;
	if (text_is_text(bytes, text)) {
		char *safe;

		if (text_safe(bytes, text, PREVIEW_COLUMNS, &safe) < 0)
			return -ENOMEM;
		fputs(safe, stdout);
		free(safe);
		return 0;
	}
	for (size_t i = 0; i < n && i < PREVIEW_HEX; i++)
		printf("%s%02x", i ? " " : "", (unsigned char)bytes[i]);
	if (sample->size > PREVIEW_HEX)
		fputs(" ...", stdout);
	return 0;
}

/* Time of day, number, size: what a line begins with. */
static void print_head(struct printer *printer, const struct zcp_sample *sample)
{
	struct timespec wall;
	char size[TEXT_NUMBER];
	struct tm tm;
	uint64_t ns;

	/* The message is that old; so much before now on the wall clock. */
	clock_gettime(CLOCK_REALTIME, &wall);
	ns = (uint64_t)wall.tv_sec * 1000000000u + (uint64_t)wall.tv_nsec;
	ns -= clock_now_ns() - sample->timestamp_ns;
	wall.tv_sec = (time_t)(ns / 1000000000u);
	localtime_r(&wall.tv_sec, &tm);
	printf("%02d:%02d:%02d.%06u  #%-5" PRIu64 " %9s", tm.tm_hour, tm.tm_min, tm.tm_sec,
	       (unsigned int)(ns % 1000000000u / 1000), sample->sequence, text_bytes(sample->size, size));
	if (!printer->publisher)
		printer->publisher = sample->publisher;
	if (sample->publisher != printer->publisher)
		printer->several = true;
	if (printer->several)
		printf("  from %" PRIu64, sample->publisher);
}

static void print_tail(const struct zcp_sample *sample)
{
	if (sample->lost)
		printf("  [%" PRIu64 " lost before this one]", sample->lost);
	putchar('\n');
}

static int print_json(const struct printer *printer, const struct zcp_sample *sample)
{
	_cleanup_free_ char *bytes = malloc(sample->size ? sample->size : 1);
	json_t *json, *text;
	int r;

	if (!bytes)
		return -ENOMEM;
	json = json_pack("{s:I, s:I, s:I, s:I}", printer->responses ? "call" : "sequence", (json_int_t)sample->sequence,
			 "timestamp_ns", (json_int_t)sample->timestamp_ns,
			 printer->responses ? "server" : "publisher", (json_int_t)sample->publisher, "size", (json_int_t)sample->size);
	if (printer->responses)
		json_object_set_new(json, "more", json_boolean(printer->more));
	else
		json_object_set_new(json, "lost", json_integer((json_int_t)sample->lost));
	zcp_sample_copy(sample, bytes, sample->size);
	text = json_stringn(bytes, sample->size);	/* NULL unless it is UTF-8 */
	if (text) {
		json_object_set_new(json, "data", text);
	} else {
		_cleanup_free_ char *base64 = text_base64(bytes, sample->size);

		if (base64)
			json_object_set_new(json, "data_base64", json_string(base64));
	}
	r = json && json_object_size(json) == 6 ? 0 : -ENOMEM;
	if (!r) {
		json_dumpf(json, stdout, JSON_COMPACT);
		putchar('\n');
	}
	json_decref(json);
	return r;
}

int printer_raw(const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(STDOUT_FILENO, data, size);

		if (interrupt_signal())
			return -EINTR;
		if (n >= 0) {
			data += n;
			size -= (size_t)n;
		} else if (errno == EAGAIN) {
			int r = interrupt_poll(STDOUT_FILENO, POLLOUT, -1);

			if (r < 0)
				return r;
		} else if (errno == EPIPE) {
			return -EPIPE;
		} else if (errno != EINTR) {
			int r = -errno;

			tool_fail("standard output: %s", strerror(errno));
			return r;
		}
	}
	return 0;
}

int printer_print(struct printer *printer, const struct zcp_sample *sample)
{
	int r = 0;

	if (printer->mode == PRINTER_JSON)
		return print_json(printer, sample);
	print_head(printer, sample);
	if (printer->mode == PRINTER_LINE) {
		fputs("  ", stdout);
		r = print_preview(sample);
	}
	print_tail(sample);
	if (printer->mode == PRINTER_HEX)
		text_hexdump(stdout, sample->data, sample->size, 4);
	return r;
}

/* SPDX-License-Identifier: MIT */
/*
 * text.c - see text.h
 *
 * What is printable and how wide it is, the C library knows: mbrtowc() decodes and validates, iswprint() and
 * wcwidth() judge. Where no UTF-8 locale exists, everything outside ASCII comes out as \xNN, which is ugly and
 * safe.
 */
#include "tools/text.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

void text_init(void)
{
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		setlocale(LC_CTYPE, "");
}

bool text_wants_colour(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

int text_terminal_columns(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;

	if (!isatty(STDOUT_FILENO))
		return 0;
	if (columns && atoi(columns) > 0)
		return atoi(columns);
	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 ? 0 : size.ws_col;
}

/* Marks that reorder the text around them: harmless to the terminal, not to who reads it. */
static bool is_direction_mark(wchar_t c)
{
	return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x200e || c == 0x200f;
}

/* Decode one character: its length in bytes, or 0 for bytes that are not printable. */
static size_t decode(const char *bytes, size_t size, int *width)
{
	mbstate_t state = { 0 };
	wchar_t c;
	size_t n = mbrtowc(&c, bytes, size, &state);

	if (n == 0 || n > size || !iswprint((wint_t)c) || is_direction_mark(c))
		return 0;
	*width = wcwidth(c);
	return *width < 0 ? 0 : n;
}

/* The letter of a control character that people know by one, or 0. */
static char escape(char c)
{
	return c == '\n' ? 'n' : c == '\t' ? 't' : c == '\r' ? 'r' : 0;
}

#define ELLIPSIS "..."

int text_safe(const void *bytes, size_t size, int columns, char **out)
{
	static const char digits[] = "0123456789abcdef";
	const char *p = bytes, *end = p + size;
	size_t used = 0, room = 0;
	size_t dots = columns && columns < (int)sizeof(ELLIPSIS) - 1 ? (size_t)columns : sizeof(ELLIPSIS) - 1;
	size_t mark = 0;	/* where the text would be cut to make room for the ellipsis */
	int width = 0, mark_width = 0;
	char *text = NULL;

	for (;;) {
		int w = 0;
		size_t n = p < end ? decode(p, (size_t)(end - p), &w) : 0;

		if (room - used < 16) {
			char *larger = realloc(text, room = room * 2 + 64);

			if (!larger) {
				free(text);
				return -ENOMEM;
			}
			text = larger;
		}
		if (p == end)
			break;
		if (!n)
			w = escape(*p) ? 2 : 4;
		if (columns && width + w > columns) {
			memcpy(text + mark, ELLIPSIS, dots);
			used = mark + dots;
			width = mark_width + (int)dots;
			break;
		}
		if (n) {
			memcpy(text + used, p, n);
			used += n;
			p += n;
		} else if (escape(*p)) {
			text[used++] = '\\';
			text[used++] = escape(*p++);
		} else {
			unsigned char c = (unsigned char)*p++;

			text[used++] = '\\';
			text[used++] = 'x';
			text[used++] = digits[c >> 4];
			text[used++] = digits[c & 15];
		}
		width += w;
		if (columns && width <= columns - (int)dots) {
			mark = used;
			mark_width = width;
		}
	}
	text[used] = 0;
	*out = text;
	return width;
}

bool text_is_text(const void *bytes, size_t size)
{
	const char *p = bytes, *end = p + size;

	while (p < end) {
		int width;
		size_t n = decode(p, (size_t)(end - p), &width);

		if (!n && *p != '\t' && *p != '\n' && *p != '\r')
			return false;
		p += n ? n : 1;
	}
	return true;
}

const char *text_bytes(uint64_t bytes, char buffer[TEXT_NUMBER])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1023.95 && unit < 6) {
		value /= 1024;
		unit++;
	}
	if (unit)
		snprintf(buffer, TEXT_NUMBER, "%.1f %s", value, units[unit]);
	else
		snprintf(buffer, TEXT_NUMBER, "%" PRIu64 " B", bytes);
	return buffer;
}

const char *text_short(double value, char buffer[TEXT_NUMBER])
{
	static const char units[] = " kMGTPE";
	int unit = 0;

	if (value < 999.5 && (value == 0 || value >= 9.95)) {
		snprintf(buffer, TEXT_NUMBER, "%.0f", value);
		return buffer;
	}
	for (; value >= 999.5 && unit < (int)sizeof(units) - 2; unit++)
		value /= 1000;
	snprintf(buffer, TEXT_NUMBER, "%.*f%.*s", unit == 0 ? 1 : value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value, unit ? 1 : 0, units + unit);
	return buffer;
}

const char *text_short_count(uint64_t value, char buffer[TEXT_NUMBER])
{
	if (value >= 1000)
		return text_short((double)value, buffer);
	snprintf(buffer, TEXT_NUMBER, "%" PRIu64, value);
	return buffer;
}

const char *text_duration(uint64_t ns, char buffer[TEXT_NUMBER])
{
	uint64_t s = ns / 1000000000;

	if (ns < 1000)
		snprintf(buffer, TEXT_NUMBER, "%u ns", (unsigned int)ns);
	else if (ns < 1000000)
		snprintf(buffer, TEXT_NUMBER, "%u us", (unsigned int)(ns / 1000));
	else if (s < 1)
		snprintf(buffer, TEXT_NUMBER, "%u ms", (unsigned int)(ns / 1000000));
	else if (s < 60)
		snprintf(buffer, TEXT_NUMBER, "%.2f s", (double)(ns / 10000000) / 100);
	else if (s < 3600)
		snprintf(buffer, TEXT_NUMBER, "%u min %02u s", (unsigned int)(s / 60), (unsigned int)(s % 60));
	else if (s < 86400)
		snprintf(buffer, TEXT_NUMBER, "%u h %02u min", (unsigned int)(s / 3600),
			 (unsigned int)(s / 60 % 60));
	else
		snprintf(buffer, TEXT_NUMBER, "%" PRIu64 " d %02u h", s / 86400, (unsigned int)(s / 3600 % 24));
	return buffer;
}

char *text_base64(const void *bytes, size_t size)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = bytes;
	char *text = malloc((size + 2) / 3 * 4 + 1), *out = text;

	if (!text)
		return NULL;
	for (; size >= 3; size -= 3, p += 3) {
		*out++ = letters[p[0] >> 2];
		*out++ = letters[(p[0] & 3) << 4 | p[1] >> 4];
		*out++ = letters[(p[1] & 15) << 2 | p[2] >> 6];
		*out++ = letters[p[2] & 63];
	}
	if (size) {
		unsigned char second = size == 2 ? p[1] : 0;

		*out++ = letters[p[0] >> 2];
		*out++ = letters[(p[0] & 3) << 4 | second >> 4];
		*out++ = size == 2 ? letters[(second & 15) << 2] : '=';
		*out++ = '=';
	}
	*out = 0;
	return text;
}

void text_hexdump(FILE *out, const void *bytes, size_t size, int indent)
{
	const unsigned char *p = bytes;

	for (size_t at = 0; at < size; at += 16) {
		size_t n = size - at < 16 ? size - at : 16;
		unsigned char line[16];	/* one look at each byte: its owner may be changing it */

		memcpy(line, p + at, n);
		fprintf(out, "%*s%08zx ", indent, "", at);
		for (size_t i = 0; i < 16; i++) {
			if (i == 8)
				fputc(' ', out);
			if (i < n)
				fprintf(out, " %02x", line[i]);
			else
				fputs("   ", out);
		}
		fputs("  |", out);
		for (size_t i = 0; i < n; i++)
			fputc(line[i] >= 0x20 && line[i] < 0x7f ? line[i] : '.', out);
		fputs("|\n", out);
	}
}

void table_init(struct table *table, int n_columns)
{
	*table = (struct table){ .n_columns = n_columns };
}

void table_deinit(struct table *table)
{
	for (int i = 0; i < table->n_rows * table->n_columns; i++)
		free(table->cells[i].text);
	free(table->cells);
	*table = (struct table){ 0 };
}

void table_row(struct table *table)
{
	if (table->failed)
		return;
	if (table->n_rows == table->n_allocated) {
		int n = table->n_allocated * 2 + 16;
		struct table_cell *larger = reallocarray(table->cells, (size_t)n * (size_t)table->n_columns,
							 sizeof(*larger));

		if (!larger) {
			table->failed = true;
			return;
		}
		table->cells = larger;
		table->n_allocated = n;
	}
	memset(table->cells + table->n_rows * table->n_columns, 0,
	       (size_t)table->n_columns * sizeof(*table->cells));
	table->n_rows++;
}

void table_cell(struct table *table, int column, const char *format, ...)
{
	struct table_cell *cell;
	char *text = NULL;
	va_list arguments;
	int r;

	if (table->failed || !table->n_rows)
		return;
	cell = table->cells + (table->n_rows - 1) * table->n_columns + column;
	va_start(arguments, format);
	r = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (r < 0) {
		table->failed = true;
		return;
	}
	free(cell->text);
	cell->text = NULL;
	cell->width = text_safe(text, (size_t)r, 0, &cell->text);
	free(text);
	if (cell->width < 0) {
		cell->width = 0;
		table->failed = true;
	}
	if (cell->width > table->widths[column])
		table->widths[column] = cell->width;
}

#define FIT_MIN 12	/* columns that are left of a name however narrow the terminal is */

/* Without space at the end: the last column of a line counts as it is. */
static int table_width(const struct table *table)
{
	int width = 0, gap = 0;

	for (int column = 0; column < table->n_columns; column++) {
		width += table->widths[column] ? gap + table->widths[column] : 0;
		gap = width ? 2 : 0;
	}
	return width;
}

void table_fit(struct table *table, int column, int columns)
{
	int room = table->widths[column] - (table_width(table) - columns);

	if (!columns || room >= table->widths[column])
		return;
	room = room < FIT_MIN ? FIT_MIN : room;
	table->widths[column] = 0;
	for (int row = 0; row < table->n_rows; row++) {
		struct table_cell *cell = &table->cells[row * table->n_columns + column];
		char *cut = NULL;

		if (cell->width > room && (cell->width = text_safe(cell->text, strlen(cell->text), room, &cut)) >= 0) {
			free(cell->text);
			cell->text = cut;
		}
		/* out of memory: an empty cell */
		cell->width = cell->width < 0 ? 0 : cell->width;
		if (cell->width > table->widths[column])
			table->widths[column] = cell->width;
	}
}

void table_print(const struct table *table, FILE *out, int first, int last, int indent)
{
	for (int row = first; row < last; row++) {
		const struct table_cell *cells = table->cells + row * table->n_columns;
		int pending = indent;

		for (int column = 0; column < table->n_columns; column++) {
			int before = table->right & 1u << column ? table->widths[column] - cells[column].width : 0;

			if (cells[column].width)
				fprintf(out, "%*s%s", pending + before, "", cells[column].text);
			pending = (cells[column].width ? -before : pending) + table->widths[column] -
				  cells[column].width + (table->widths[column] ? 2 : 0);
		}
		fputc('\n', out);
	}
}

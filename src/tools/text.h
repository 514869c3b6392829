/* SPDX-License-Identifier: MIT */
/*
 * text.h - output for people: other processes' bytes made harmless, sizes, times, aligned columns
 *
 * Names and payloads come from strangers. What is printed goes through text_safe() first, which keeps printable
 * UTF-8 and writes everything else (control characters, escape sequences, broken UTF-8, direction overrides) as
 * \xNN, so that a message cannot rewrite the terminal of whoever looks at it.
 */
#ifndef ZCP_TOOLS_TEXT_H
#define ZCP_TOOLS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Choose a UTF-8 locale for character types. Numbers keep their C format. */
void text_init(void);

/* Whether standard output is a terminal that shows colours, and its user wants them (NO_COLOR, TERM=dumb). */
bool text_wants_colour(void);

/* The width of the terminal that standard output is, or what $COLUMNS says of it; 0: it is none. */
int text_terminal_columns(void);

/*
 * A printable copy of @bytes in *@out (free it): never more than @columns columns (0: no limit), then ending in "...".
 * Returns its width in columns, or -ENOMEM.
 */
int text_safe(const void *bytes, size_t size, int columns, char **out);

/* Whether @bytes is UTF-8 text: printable, tab, line feed and carriage return only. */
bool text_is_text(const void *bytes, size_t size);

/* "4.0 GiB", "1 B" */
#define TEXT_NUMBER 32
const char *text_bytes(uint64_t bytes, char buffer[TEXT_NUMBER]);

/* "1.23k", "45.6M", "7.0": at most 5 characters. A count has no fraction below a thousand. */
const char *text_short(double value, char buffer[TEXT_NUMBER]);
const char *text_short_count(uint64_t value, char buffer[TEXT_NUMBER]);

/* "3 h 02 min", "4.21 s", "120 ms", "35 us" */
const char *text_duration(uint64_t ns, char buffer[TEXT_NUMBER]);

/* Base64 (RFC 4648, padded) of @bytes on the heap, or NULL. */
char *text_base64(const void *bytes, size_t size);

/* `hexdump -C`: sixteen bytes a line, @indent spaces before each. */
void text_hexdump(FILE *out, const void *bytes, size_t size, int indent);

/* A table: cells are made safe when they are added, columns aligned when it is printed. */
#define TABLE_COLUMNS 10
struct table {
	int n_columns, n_rows, n_allocated;
	struct table_cell {
		char *text;
		int width;
	} *cells;		/* n_rows * n_columns */
	int widths[TABLE_COLUMNS];
	unsigned int right;	/* columns of numbers, by bit: aligned at their right side */
	bool failed;		/* out of memory: rows are missing */
};

void table_init(struct table *table, int n_columns);
void table_deinit(struct table *table);

/* Begin a row, all cells empty; then fill cells of the last row. */
void table_row(struct table *table);
void table_cell(struct table *table, int column, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Shorten the cells of @column, so that lines have at most @columns columns (0: any number), as far as that goes. */
void table_fit(struct table *table, int column, int columns);

/* Print rows @first.. @last (exclusive), two spaces between columns, no space at a line's end. */
void table_print(const struct table *table, FILE *out, int first, int last, int indent);

#endif

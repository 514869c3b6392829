/* SPDX-License-Identifier: MIT */
/*
 * test-text.c - what people see: strangers' bytes made harmless, numbers, base64, tables
 */
#include <stdlib.h>

#include "harness.h"
#include "tools/text.h"

static void check_safe(const char *bytes, size_t size, int columns, const char *expected, int width)
{
	char *safe = NULL;
	int r = text_safe(bytes, size, columns, &safe);

	ck_assert_str_eq(safe, expected);
	ck_assert_int_eq(r, width);
	free(safe);
}

START_TEST(test_safe_keeps_printable)
{
	check_safe("plain text", 10, 0, "plain text", 10);
	check_safe("", 0, 0, "", 0);
	check_safe("\xc3\xa9t\xc3\xa9", 5, 0, "\xc3\xa9t\xc3\xa9", 3);
	check_safe("\xe6\xbc\xa2", 3, 0, "\xe6\xbc\xa2", 2);	/* wide */
}
END_TEST

START_TEST(test_safe_escapes_the_rest)
{
	check_safe("\033[2J", 4, 0, "\\x1b[2J", 7);
	check_safe("a\0b", 3, 0, "a\\x00b", 6);
	check_safe("\n\t\r", 3, 0, "\\n\\t\\r", 6);
	check_safe("\x7f", 1, 0, "\\x7f", 4);
	check_safe("\xc2\x9b" "31m", 5, 0, "\\xc2\\x9b31m", 11);		/* C1: a one-character escape sequence */
	check_safe("\xff\xc3", 2, 0, "\\xff\\xc3", 8);				/* not UTF-8, and cut off */
	check_safe("\xc0\x8a", 2, 0, "\\xc0\\x8a", 8);				/* overlong */
	check_safe("\xe2\x80\xae" "abc", 6, 0, "\\xe2\\x80\\xaeabc", 15);	/* right-to-left override */
}
END_TEST

START_TEST(test_safe_abbreviates)
{
	check_safe("0123456789", 10, 10, "0123456789", 10);
	check_safe("0123456789a", 11, 10, "0123456...", 10);
	check_safe("01234567\x01", 9, 10, "0123456...", 10);
	/* a wide character that would straddle the cut */
	check_safe("012345\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2", 15, 10, "012345...", 9);
	/* no room for the dots */
	check_safe("0123", 4, 3, "...", 3);
	check_safe("0123", 4, 2, "..", 2);
	check_safe("0123", 4, 1, ".", 1);
}
END_TEST

START_TEST(test_is_text)
{
	ck_assert(text_is_text("two\nlines\t", 10));
	ck_assert(text_is_text("", 0));
	ck_assert(text_is_text("\xc3\xa9", 2));
	ck_assert(!text_is_text("\xc3", 1));
	ck_assert(!text_is_text("a\0b", 3));
	ck_assert(!text_is_text("\033[2J", 4));
}
END_TEST

START_TEST(test_bytes)
{
	char b[TEXT_NUMBER];

	ck_assert_str_eq(text_bytes(0, b), "0 B");
	ck_assert_str_eq(text_bytes(1023, b), "1023 B");
	ck_assert_str_eq(text_bytes(1024, b), "1.0 KiB");
	ck_assert_str_eq(text_bytes((1 << 20) - 1, b), "1.0 MiB");
	ck_assert_str_eq(text_bytes(4ull << 30, b), "4.0 GiB");
	ck_assert_str_eq(text_bytes(UINT64_MAX, b), "16.0 EiB");
}
END_TEST

START_TEST(test_duration)
{
	char b[TEXT_NUMBER];

	ck_assert_str_eq(text_duration(999, b), "999 ns");
	ck_assert_str_eq(text_duration(35000, b), "35 us");
	ck_assert_str_eq(text_duration(200000000, b), "200 ms");
	ck_assert_str_eq(text_duration(4210000000, b), "4.21 s");
	ck_assert_str_eq(text_duration(125000000000, b), "2 min 05 s");
	ck_assert_str_eq(text_duration(3720000000000, b), "1 h 02 min");
	ck_assert_str_eq(text_duration(90000000000000, b), "1 d 01 h");
	ck_assert_uint_lt(strlen(text_duration(UINT64_MAX, b)), TEXT_NUMBER);
}
END_TEST

START_TEST(test_base64)
{
	/* RFC 4648, section 10 */
	static const char *const vectors[][2] = {
		{ "", "" },	  { "f", "Zg==" },	  { "fo", "Zm8=" },	    { "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" }, { "\xff\xfe", "//4=" },
	};

	for (size_t i = 0; i < sizeof(vectors) / sizeof(*vectors); i++) {
		char *text = text_base64(vectors[i][0], strlen(vectors[i][0]));

		ck_assert_str_eq(text, vectors[i][1]);
		free(text);
	}
}
END_TEST

/* What @print writes, on the heap. */
static char *table_text(const struct table *table, int indent)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	table_print(table, f, 0, table->n_rows, indent);
	fclose(f);
	return text;
}

START_TEST(test_table)
{
	struct table table;
	char *text;

	table_init(&table, 4);
	table_row(&table);
	table_cell(&table, 0, "%s", "a");
	table_cell(&table, 1, "%d", 1000);
	table_cell(&table, 3, "%s", "end");
	table_row(&table);
	table_cell(&table, 0, "%s", "\xc3\xa9t\xc3\xa9");
	table_cell(&table, 3, "%s", "\033");
	table_row(&table);
	table_cell(&table, 1, "%s", "last");
	text = table_text(&table, 2);
	ck_assert_str_eq(text, "  a    1000  end\n"
			       "  \xc3\xa9t\xc3\xa9        \\x1b\n"
			       "       last\n");
	free(text);
	ck_assert(!table.failed);
	table_deinit(&table);
}
END_TEST

START_TEST(test_table_of_many_rows)
{
	struct table table;

	table_init(&table, 2);
	for (int i = 0; i < 100; i++) {
		table_row(&table);
		table_cell(&table, 1, "%d", i);
	}
	ck_assert_int_eq(table.n_rows, 100);
	ck_assert_ptr_null(table.cells[99 * 2].text);
	ck_assert_str_eq(table.cells[99 * 2 + 1].text, "99");
	table_deinit(&table);
}
END_TEST

START_TEST(test_table_aligned_right)
{
	struct table table;
	char *text;

	table_init(&table, 4);
	table.right = 1u << 1 | 1u << 2;
	table_row(&table);
	table_cell(&table, 0, "NAME");
	table_cell(&table, 1, "N");
	table_cell(&table, 2, "COUNT");
	table_cell(&table, 3, "STATE");
	table_row(&table);
	table_cell(&table, 0, "a");
	table_cell(&table, 1, "1000");
	table_cell(&table, 3, "ok");
	table_row(&table);
	table_cell(&table, 1, "7");
	table_cell(&table, 2, "1");
	text = table_text(&table, 0);
	ck_assert_str_eq(text, "NAME     N  COUNT  STATE\n"
			       "a     1000         ok\n"
			       "         7      1\n");
	free(text);
	table_deinit(&table);
}
END_TEST

/* A long name is cut to what is left beside the numbers, but never to nothing. */
START_TEST(test_table_that_fits)
{
	struct table table;
	char *text;

	table_init(&table, 2);
	table_row(&table);
	table_cell(&table, 0, "a-name-of-twenty-four-co");
	table_cell(&table, 1, "12345");
	table_row(&table);
	table_cell(&table, 0, "\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac");
	table_cell(&table, 1, "1");
	table_fit(&table, 0, 0);
	table_fit(&table, 0, 31);
	text = table_text(&table, 0);
	ck_assert_str_eq(text, "a-name-of-twenty-four-co  12345\n"
			       "\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac          1\n");
	free(text);
	table_fit(&table, 0, 22);
	text = table_text(&table, 0);
	ck_assert_str_eq(text, "a-name-of-tw...  12345\n"
			       "\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac...  1\n");
	free(text);
	table_fit(&table, 0, 5);
	text = table_text(&table, 0);
	ck_assert_str_eq(text, "a-name-of...  12345\n"
			       "\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac...   1\n");
	free(text);
	table_deinit(&table);
}
END_TEST

START_TEST(test_short_numbers)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = { { 0, "0" }, { 0.04, "0.0" }, { 7, "7.0" }, { 9.96, "10" }, { 999.4, "999" }, { 999.6, "1.00k" }, { 12345, "12.3k" },
		      { 999600, "1.00M" }, { 456e6, "456M" }, { 1.8e19, "18.0E" } };
	char text[TEXT_NUMBER];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		ck_assert_str_eq(text_short(cases[i].value, text), cases[i].text);
	ck_assert_str_eq(text_short_count(7, text), "7");
	ck_assert_str_eq(text_short_count(1000, text), "1.00k");
}
END_TEST

START_TEST(test_hexdump)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	text_hexdump(f, "0123456789abcdef\n", 17, 0);
	fclose(f);
	ck_assert_str_eq(text, "00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n"
			       "00000010  0a                                                |.|\n");
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("text");
	TCase *tcase = add_test_case(suite, "text", 10);

	text_init();
	tcase_add_test(tcase, test_safe_keeps_printable);
	tcase_add_test(tcase, test_safe_escapes_the_rest);
	tcase_add_test(tcase, test_safe_abbreviates);
	tcase_add_test(tcase, test_is_text);
	tcase_add_test(tcase, test_bytes);
	tcase_add_test(tcase, test_duration);
	tcase_add_test(tcase, test_base64);
	tcase_add_test(tcase, test_table);
	tcase_add_test(tcase, test_table_of_many_rows);
	tcase_add_test(tcase, test_table_aligned_right);
	tcase_add_test(tcase, test_table_that_fits);
	tcase_add_test(tcase, test_short_numbers);
	tcase_add_test(tcase, test_hexdump);
	return run_suite(suite);
}

/* SPDX-License-Identifier: MIT */
/* src/common/name.c: every kind of bad name, from the user's side and from the wire. */
#include "common/name.h"

#include <stdlib.h>

#include "harness.h"

#define CHECK(literal) name_check(literal, sizeof(literal) - 1)

#define HUNDRED \
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

START_TEST(test_good)
{
	ck_assert_int_eq(CHECK("a"), NAME_OK);
	ck_assert_int_eq(CHECK("front left: camera ~!\\\"'<>"), NAME_OK);
	ck_assert_int_eq(CHECK("."), NAME_OK);
	ck_assert_int_eq(CHECK("Z\xc3\xbcrich"), NAME_OK);
	ck_assert_int_eq(CHECK("\xf0\x9f\x9a\x80 rocket"), NAME_OK);
	ck_assert_int_eq(CHECK(HUNDRED), NAME_OK);
}
END_TEST

START_TEST(test_length)
{
	ck_assert_int_eq(CHECK(""), NAME_EMPTY);
	ck_assert_int_eq(CHECK(HUNDRED "0"), NAME_TOO_LONG);
	ck_assert_int_eq(name_check("", 0), NAME_EMPTY);

	/* Bytes count, not characters: 25 rockets of 4 bytes fit, 26 do not. */
	char rockets[26 * 4];

	for (size_t i = 0; i < 26; i++)
		memcpy(rockets + 4 * i, "\xf0\x9f\x9a\x80", 4);
	ck_assert_int_eq(name_check(rockets, 100), NAME_OK);
	ck_assert_int_eq(name_check(rockets, 104), NAME_TOO_LONG);
}
END_TEST

START_TEST(test_slash)
{
	ck_assert_int_eq(CHECK("/"), NAME_SLASH);
	ck_assert_int_eq(CHECK("a/b"), NAME_SLASH);
	ck_assert_int_eq(CHECK("a/"), NAME_SLASH);
}
END_TEST

/* Every byte value on its own. */
START_TEST(test_single_bytes)
{
	for (int i = 0; i < 256; i++) {
		char byte = (char)i;
		enum name_fault want = NAME_OK;

		if (i < 0x20 || i == 0x7f)
			want = NAME_CONTROL;
		else if (i == '/')
			want = NAME_SLASH;
		else if (i >= 0x80)
			want = NAME_NOT_UTF8;
		ck_assert_msg(name_check(&byte, 1) == want, "byte 0x%02x", i);
	}
}
END_TEST

START_TEST(test_control)
{
	ck_assert_int_eq(CHECK("a\0b"), NAME_CONTROL);
	ck_assert_int_eq(CHECK("a\nb"), NAME_CONTROL);
	ck_assert_int_eq(CHECK("\x1b[31m"), NAME_CONTROL);
	ck_assert_int_eq(CHECK("a\x7f"), NAME_CONTROL);
	ck_assert_int_eq(CHECK("a\xc2\x80"), NAME_CONTROL);	/* C1: U+0080 ... */
	ck_assert_int_eq(CHECK("a\xc2\x85"), NAME_CONTROL);	/* NEL */
	ck_assert_int_eq(CHECK("a\xc2\x9b"), NAME_CONTROL);	/* CSI in one character */
	ck_assert_int_eq(CHECK("a\xc2\x9f"), NAME_CONTROL);	/* ... U+009F */
	ck_assert_int_eq(CHECK("a\xc2\xa0"), NAME_OK);
}
END_TEST

START_TEST(test_utf8_bounds)
{
	ck_assert_int_eq(CHECK("\xdf\xbf"), NAME_OK);			/* U+07FF */
	ck_assert_int_eq(CHECK("\xe0\xa0\x80"), NAME_OK);		/* U+0800 */
	ck_assert_int_eq(CHECK("\xed\x9f\xbf"), NAME_OK);		/* U+D7FF */
	ck_assert_int_eq(CHECK("\xee\x80\x80"), NAME_OK);		/* U+E000 */
	ck_assert_int_eq(CHECK("\xef\xbf\xbf"), NAME_OK);		/* U+FFFF */
	ck_assert_int_eq(CHECK("\xf0\x90\x80\x80"), NAME_OK);		/* U+10000 */
	ck_assert_int_eq(CHECK("\xf4\x8f\xbf\xbf"), NAME_OK);		/* U+10FFFF */
}
END_TEST

START_TEST(test_not_utf8)
{
	/* Overlong forms, of '/', NUL and the largest code point of the shorter length. */
	ck_assert_int_eq(CHECK("\xc0\xaf"), NAME_NOT_UTF8);
	ck_assert_int_eq(CHECK("\xc0\x80"), NAME_NOT_UTF8);
	ck_assert_int_eq(CHECK("\xc1\xbf"), NAME_NOT_UTF8);
	ck_assert_int_eq(CHECK("\xe0\x80\xaf"), NAME_NOT_UTF8);
	ck_assert_int_eq(CHECK("\xe0\x9f\xbf"), NAME_NOT_UTF8);
	ck_assert_int_eq(CHECK("\xf0\x80\x80\xaf"), NAME_NOT_UTF8);
	ck_assert_int_eq(CHECK("\xf0\x8f\xbf\xbf"), NAME_NOT_UTF8);

	/* Surrogates, a pair of them too. */
	ck_assert_int_eq(CHECK("\xed\xa0\x80"), NAME_NOT_UTF8);
	ck_assert_int_eq(CHECK("\xed\xbf\xbf"), NAME_NOT_UTF8);
	ck_assert_int_eq(CHECK("\xed\xa0\xbd\xed\xba\x80"), NAME_NOT_UTF8);

	/* Above U+10FFFF, and the five- and six-byte forms of old. */
	ck_assert_int_eq(CHECK("\xf4\x90\x80\x80"), NAME_NOT_UTF8);
	ck_assert_int_eq(CHECK("\xf5\x80\x80\x80"), NAME_NOT_UTF8);
	ck_assert_int_eq(CHECK("\xf8\x88\x80\x80\x80"), NAME_NOT_UTF8);
	ck_assert_int_eq(CHECK("\xfc\x84\x80\x80\x80\x80"), NAME_NOT_UTF8);
	ck_assert_int_eq(CHECK("\xfe"), NAME_NOT_UTF8);
	ck_assert_int_eq(CHECK("\xff"), NAME_NOT_UTF8);

	/* Continuation bytes where none belong, or missing ones. */
	ck_assert_int_eq(CHECK("a\x80"), NAME_NOT_UTF8);
	ck_assert_int_eq(CHECK("\xc3\xbc\xbc"), NAME_NOT_UTF8);
	ck_assert_int_eq(CHECK("\xc3" "a"), NAME_NOT_UTF8);
	ck_assert_int_eq(CHECK("\xe2\x82" "a"), NAME_NOT_UTF8);
	ck_assert_int_eq(CHECK("\xf0\x9f\x9a" "a"), NAME_NOT_UTF8);
}
END_TEST

/* What is missing lies right behind the buffer: the length decides, and ASan sees a read beyond it. */
START_TEST(test_truncated)
{
	static const char rocket[] = "\xf0\x9f\x9a\x80", euro[] = "\xe2\x82\xac", umlaut[] = "\xc3\xbc";

	for (size_t n = 1; n < 4; n++) {
		char *copy = malloc(n);

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, rocket, n);
		ck_assert_int_eq(name_check(copy, n), NAME_NOT_UTF8);
		free(copy);
		ck_assert_int_eq(name_check(rocket, n), NAME_NOT_UTF8);
	}
	ck_assert_int_eq(name_check(euro, 2), NAME_NOT_UTF8);
	ck_assert_int_eq(name_check(umlaut, 1), NAME_NOT_UTF8);
}
END_TEST

START_TEST(test_field)
{
	char field[104];

	memset(field, 'x', sizeof(field));
	name_to_field(field, sizeof(field), "camera");
	ck_assert_str_eq(field, "camera");
	for (size_t i = 6; i < sizeof(field); i++)
		ck_assert_int_eq(field[i], 0);
	ck_assert_int_eq(name_check_field(field, sizeof(field)), NAME_OK);

	name_to_field(field, sizeof(field), HUNDRED);
	ck_assert_int_eq(name_check_field(field, sizeof(field)), NAME_OK);
}
END_TEST

START_TEST(test_field_faults)
{
	char field[104];

	memset(field, 'x', sizeof(field));
	ck_assert_int_eq(name_check_field(field, sizeof(field)), NAME_TOO_LONG);	/* no NUL */

	field[103] = 0;
	ck_assert_int_eq(name_check_field(field, sizeof(field)), NAME_TOO_LONG);	/* 103 bytes */

	memset(field, 0, sizeof(field));
	ck_assert_int_eq(name_check_field(field, sizeof(field)), NAME_EMPTY);

	for (size_t i = 1; i < sizeof(field); i++) {
		memset(field, 0, sizeof(field));
		field[0] = 'a';
		field[i] = 'b';
		ck_assert_int_eq(name_check_field(field, sizeof(field)), i == 1 ? NAME_OK : NAME_CONTROL);
	}

	name_to_field(field, sizeof(field), "a/b");
	ck_assert_int_eq(name_check_field(field, sizeof(field)), NAME_SLASH);
}
END_TEST

START_TEST(test_field_never_overflows)
{
	char field[9];

	field[8] = 'x';
	name_to_field(field, 8, "0123456789");
	ck_assert_str_eq(field, "0123456");
	ck_assert_int_eq(field[8], 'x');
}
END_TEST

START_TEST(test_split)
{
	char parts[3][NAME_MAX_BYTES + 1];
	enum name_fault fault;
	int part;

	ck_assert_int_eq(name_split_topic("radar/front left/objects:v2", parts, &fault, &part), 0);
	ck_assert_str_eq(parts[0], "radar");
	ck_assert_str_eq(parts[1], "front left");
	ck_assert_str_eq(parts[2], "objects:v2");

	ck_assert_int_eq(name_split_topic(HUNDRED "/" HUNDRED "/" HUNDRED, parts, &fault, &part), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_str_eq(parts[i], HUNDRED);
}
END_TEST

START_TEST(test_split_faults)
{
	static const struct {
		const char *text;
		enum name_fault fault;
		int part;
	} cases[] = {
		{ "", NAME_EMPTY, 3 },
		{ "a", NAME_EMPTY, 3 },
		{ "a/b", NAME_EMPTY, 3 },
		{ "a/b/c/d", NAME_SLASH, 3 },
		{ "a/b/c/", NAME_SLASH, 3 },
		{ "/b/c", NAME_EMPTY, 0 },
		{ "a//c", NAME_EMPTY, 1 },
		{ "a/b/", NAME_EMPTY, 2 },
		{ "a/b\n/c", NAME_CONTROL, 1 },
		{ "a/b/\xff", NAME_NOT_UTF8, 2 },
		{ HUNDRED "0/b/c", NAME_TOO_LONG, 0 },
		{ "a/b/" HUNDRED "0", NAME_TOO_LONG, 2 },
	};
	char parts[3][NAME_MAX_BYTES + 1];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum name_fault fault = NAME_OK;
		int part = -1;

		ck_assert_int_eq(name_split_topic(cases[i].text, parts, &fault, &part), -EINVAL);
		ck_assert_msg(fault == cases[i].fault && part == cases[i].part, "'%s': fault %d, part %d",
			      cases[i].text, (int)fault, part);
	}
}
END_TEST

START_TEST(test_texts)
{
	for (int i = NAME_OK; i <= NAME_NOT_UTF8; i++) {
		for (int j = NAME_OK; j < i; j++)
			ck_assert_str_ne(name_fault_text((enum name_fault)i), name_fault_text((enum name_fault)j));
	}
	ck_assert_str_eq(name_fault_text(NAME_EMPTY), "is empty");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("name");
	TCase *tcase = add_test_case(suite, "name", 10);

	tcase_add_test(tcase, test_good);
	tcase_add_test(tcase, test_length);
	tcase_add_test(tcase, test_slash);
	tcase_add_test(tcase, test_single_bytes);
	tcase_add_test(tcase, test_control);
	tcase_add_test(tcase, test_utf8_bounds);
	tcase_add_test(tcase, test_not_utf8);
	tcase_add_test(tcase, test_truncated);
	tcase_add_test(tcase, test_field);
	tcase_add_test(tcase, test_field_faults);
	tcase_add_test(tcase, test_field_never_overflows);
	tcase_add_test(tcase, test_split);
	tcase_add_test(tcase, test_split_faults);
	tcase_add_test(tcase, test_texts);
	return run_suite(suite);
}

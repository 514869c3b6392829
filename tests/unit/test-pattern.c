/* SPDX-License-Identifier: MIT */
/* src/common/pattern.c: what '*' and '?' stand for, and that no pattern takes long. */
#include "common/pattern.h"

#include "harness.h"

static const struct {
	const char *pattern, *text;
	bool matches;
} table[] = {
	{ "", "", true },	{ "", "anything", true },	{ "*", "", true },	  { "*", "x", true },
	{ "a", "a", true },	{ "a", "b", false },		{ "a", "", false },	  { "a", "aa", false },
	{ "?", "a", true },	{ "?", "", false },		{ "?", "ab", false },	  { "??", "ab", true },
	{ "a*", "abc", true },	{ "*c", "abc", true },		{ "a*c", "abc", true },	  { "a*c", "ac", true },
	{ "a*c", "acb", false }, { "*b*", "abc", true },	{ "*b*", "ac", false },	  { "a**c", "abc", true },
	{ "*a?c*", "xxabcxx", true }, { "*ab*ab", "abab", true }, { "*ab*ab", "abb", false }, { "*aab", "aaab", true },
	{ "?", "\xc3\xa4", true }, { "??", "\xc3\xa4", false }, { "x?y", "x\xe2\x82\xacy", true }, { "?", "\xff", true },
	{ "\xc3\xa4*", "\xc3\xa4""b", true }, { "a*?", "a", false }, { "a*?", "ab", true }, { "*?*?*", "a", false },
};

START_TEST(test_table)
{
	ck_assert_msg(pattern_matches(table[_i].pattern, table[_i].text) == table[_i].matches, "'%s' and '%s'", table[_i].pattern,
		      table[_i].text);
}
END_TEST

/* The classic that takes others an age: 33 stars that all have to be tried. */
START_TEST(test_hostile)
{
	char pattern[101], text[101];

	memset(pattern, 0, sizeof(pattern));
	memset(text, 0, sizeof(text));
	for (int i = 0; i < 99; i += 3)
		memcpy(pattern + i, "*aa", 3);
	pattern[99] = 'b';
	memset(text, 'a', 100);
	for (int i = 0; i < 100000; i++)
		ck_assert(!pattern_matches(pattern, text));
}
END_TEST

START_TEST(test_topic)
{
	struct wire_topic topic = { "radar", "front", "track" }, all = { "", "", "" }, some = { "r*", "", "tr?ck" }, other = { "", "rear", "" };

	ck_assert(pattern_matches_topic(&all, &topic) && pattern_is_empty(&all));
	ck_assert(pattern_matches_topic(&some, &topic) && !pattern_is_empty(&some));
	ck_assert(!pattern_matches_topic(&other, &topic) && !pattern_is_empty(&other));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pattern");
	TCase *tcase = add_test_case(suite, "pattern", 10);

	tcase_add_loop_test(tcase, test_table, 0, sizeof(table) / sizeof(table[0]));
	tcase_add_test(tcase, test_hostile);
	tcase_add_test(tcase, test_topic);
	return run_suite(suite);
}

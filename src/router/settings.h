/* SPDX-License-Identifier: MIT */
/*
 * settings.h - what can be set: one table for the command line and for router.conf
 *
 * A row says where a value goes in struct options, what values it takes, its default, how the
 * command line and the configuration file call it, and what --help says of it. options.c and
 * config.c only find the row and hand its value to setting_parse(), so that both take the same
 * values and complain in the same words. What is no value (--help, --verbose and the like) is not
 * in here but in options.c.
 */
#ifndef ZCP_ROUTER_SETTINGS_H
#define ZCP_ROUTER_SETTINGS_H

#include <stddef.h>
#include <stdint.h>

struct options;

enum setting_kind {
	SETTING_COUNT,		/* uint32_t, from 1 to max */
	SETTING_MS,		/* the same, a duration */
	SETTING_SIZE,		/* uint64_t, in bytes, with suffix */
	SETTING_MODE,		/* int, octal */
	SETTING_LOOP,		/* enum loop_kind */
	SETTING_PATH,		/* char[OPTIONS_PATH_BYTES] */
	SETTING_SWITCH,		/* bool: yes or no; an option of the command line means yes */
	SETTING_DETECTOR,	/* the bit `max` of an unsigned int: yes or no; an option means no */
};

struct setting {
	enum setting_kind kind;
	size_t offset;			/* in struct options */
	uint64_t max, initial;
	const char *section, *key;	/* in router.conf; NULL: not there */
	const char *option;		/* on the command line, without "--"; NULL: not there */
	const char *argument;		/* how --help calls the value */
	const char *help;		/* NULL: --help is silent about it */
	const char *shown;		/* the default, where `initial` does not say it */
};

#define N_SETTINGS 23
extern const struct setting settings[N_SETTINGS];

#define SETTING_EXPECTED_BYTES 96

/* Every default into @options. */
void settings_init(struct options *options);

/*
 * Set what @setting says to @value. 0, or -EINVAL with what it takes instead, "a number from 1 to
 * 10", in @expected. NULL for a SWITCH or DETECTOR: as the option of the command line means it.
 */
int setting_parse(const struct setting *setting, struct options *options, const char *value,
		  char expected[static SETTING_EXPECTED_BYTES]);

/* The default as a person writes it ("64G"), "" where there is none. Returns @text. */
const char *setting_default(const struct setting *setting, char text[static 32]);

/* The same rules for the values of options that are not settings. */
int setting_number(const char *value, uint64_t min, uint64_t max, uint64_t *result, char expected[static SETTING_EXPECTED_BYTES]);

#endif

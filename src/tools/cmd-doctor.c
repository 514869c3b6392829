/* SPDX-License-Identifier: MIT */
/*
 * cmd-doctor.c - zcp doctor: what on this machine is missing or slow for zcp, and the cure
 *
 * Here are the options and the output; the checks are in doctor-kernel.c and its like, see doctor.h. Each line is printed as soon as
 * it is known, as one of them measures for a while.
 */
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/doctor.h"
#include "tools/text.h"
#include "tools/tool.h"

static const char help[] =
	"Usage: zcp doctor [--json] [--quiet]\n"
	"\n"
	"Check the machine, the limits of this user and the router, and say of each thing whether it is\n"
	"ok, slow or broken, with the cure. Tries things where that is possible; changes nothing.\n"
	"Exits with 1 if something is broken.\n"
	"\n"
	"      --json           one JSON object\n"
	"  -q, --quiet          only what is slow or broken\n"
	TOOL_COMMON_HELP;

static const struct check_group *const groups[] = { &doctor_kernel, &doctor_limits, &doctor_memory, &doctor_cpu, &doctor_router };
#define N_GROUPS (sizeof(groups) / sizeof(*groups))

static const char *const verdicts[] = {
	[DOCTOR_OK] = "ok", [DOCTOR_INFO] = "info", [DOCTOR_SLOW] = "slow", [DOCTOR_BROKEN] = "broken",
};
#define N_VERDICTS (sizeof(verdicts) / sizeof(*verdicts))

/* ---- findings ---------------------------------------------------------------------------------------------------- */

void doctor_say(struct finding *f, enum doctor_verdict verdict, const char *format, ...)
{
	va_list arguments;

	f->verdict = verdict;
	va_start(arguments, format);
	vsnprintf(f->found, sizeof(f->found), format, arguments);
	va_end(arguments);
}

void doctor_cure(struct finding *f, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(f->cure, sizeof(f->cure), format, arguments);
	va_end(arguments);
}

/* ---- output ------------------------------------------------------------------------------------------------------ */

#define INDENT 28		/* of the text: verdict and name are in front of it */
#define NARROW 60		/* a terminal of less is left to break lines itself */

struct report {
	bool json, quiet, colour;
	int columns;			/* of the terminal; 0: break no lines */
	const char *group;		/* whose title was printed last */
	unsigned int n[N_VERDICTS];
	json_t *checks;			/* of --json */
};

static int terminal_columns(void)
{
	int columns = text_terminal_columns();

	return columns < NARROW ? 0 : columns;
}

/* Print @text, which begins in column INDENT, with line breaks between words and @again more columns before what follows one. */
static void print_wrapped(const struct report *report, const char *text, int again)
{
	int column = INDENT;

	while (*text) {
		int word = (int)strcspn(text, " ");

		if (report->columns && column > INDENT && column + word >= report->columns) {
			printf("\n%*s", INDENT + again, "");
			column = INDENT + again;
		}
		printf("%.*s", word, text);
		column += word;
		text += word;
		if (*text == ' ' && *++text) {
			putchar(' ');
			column++;
		}
	}
	putchar('\n');
}

static void print_finding(struct report *report, const char *group, const char *name, const struct finding *f, const char *found,
			  const char *cure)
{
	static const char *const colours[] = {
		[DOCTOR_OK] = "\033[32m", [DOCTOR_INFO] = "\033[2m", [DOCTOR_SLOW] = "\033[33m", [DOCTOR_BROKEN] = "\033[31m",
	};

	if (report->group != group)
		printf("%s%s\n", report->group ? "\n" : "", group);
	report->group = group;
	printf("  %s%-7s%s %-*s", report->colour ? colours[f->verdict] : "", verdicts[f->verdict], report->colour ? "\033[0m" : "",
	       INDENT - 10, name);
	print_wrapped(report, found, 0);
	if (*cure) {
		printf("%*s", INDENT, "-> ");
		print_wrapped(report, cure, 0);
	}
	fflush(stdout);
}

static int add_finding(struct report *report, const char *group, const char *name, const struct finding *f, const char *found,
		       const char *cure)
{
	json_t *check = json_pack("{s:s, s:s, s:s, s:s}", "group", group, "check", name, "verdict", verdicts[f->verdict], "found", found);

	if (!check || (*cure && json_object_set_new(check, "cure", json_string(cure)) < 0) ||
	    json_array_append(report->checks, check) < 0) {
		json_decref(check);
		return -ENOMEM;
	}
	json_decref(check);
	return 0;
}

/* Names, paths and sentences of others are among the text. */
static int report_finding(struct report *report, const char *group, const char *name, const struct finding *f)
{
	char *found = NULL, *cure = NULL;
	int r = 0;

	report->n[f->verdict]++;
	if (report->quiet && f->verdict < DOCTOR_SLOW)
		return 0;
	if (text_safe(f->found, strlen(f->found), 0, &found) < 0 || text_safe(f->cure, strlen(f->cure), 0, &cure) < 0)
		r = -ENOMEM;
	else if (report->json)
		r = add_finding(report, group, name, f, found, cure);
	else
		print_finding(report, group, name, f, found, cure);
	free(found);
	free(cure);
	return r;
}

static int run_checks(struct report *report, const struct doctor *doctor)
{
	int r = 0;

	for (size_t i = 0; i < N_GROUPS; i++) {
		for (size_t j = 0; j < groups[i]->n && r == 0; j++) {
			const struct check *check = &groups[i]->checks[j];
			struct finding finding = { .verdict = DOCTOR_NOTHING };

			check->run(doctor, &finding);
			if (finding.verdict != DOCTOR_NOTHING)
				r = report_finding(report, groups[i]->name, check->name, &finding);
		}
	}
	return r;
}

static int print_json(const struct report *report)
{
	json_t *root = json_pack("{s:i, s:i, s:i, s:i, s:O}", "ok", (int)report->n[DOCTOR_OK], "info", (int)report->n[DOCTOR_INFO],
				 "slow", (int)report->n[DOCTOR_SLOW], "broken", (int)report->n[DOCTOR_BROKEN], "checks", report->checks);
	int r;

	if (!root)
		return -ENOMEM;
	r = json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
	return r < 0 && !ferror(stdout) ? -ENOMEM : 0;
}

static void print_summary(const struct report *report)
{
	if (report->quiet)
		return;
	printf("\n%u ok, %u slow, %u broken\n", report->n[DOCTOR_OK], report->n[DOCTOR_SLOW], report->n[DOCTOR_BROKEN]);
}

static int examine(struct report *report)
{
	struct doctor doctor = { .error = 0 };
	int r;

	report->checks = json_array();
	if (!report->checks)
		return -ENOMEM;
	facts_init();
	doctor_meet_router(&doctor);
	r = run_checks(report, &doctor);
	doctor_part(&doctor);
	if (r == 0 && report->json)
		r = print_json(report);
	else if (r == 0)
		print_summary(report);
	json_decref(report->checks);
	return r;
}

int cmd_doctor(int argc, char **argv)
{
	enum { OPTION_JSON = TOOL_OPTION_FIRST };
	static const struct option options[] = {
		TOOL_COMMON_OPTIONS,
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "quiet", no_argument, NULL, 'q' },
		{ 0 },
	};
	struct report report = { .colour = text_wants_colour(), .columns = terminal_columns() };
	int c, r;

	while ((c = getopt_long(argc, argv, "hq", options, NULL)) != -1) {
		if (c == OPTION_JSON)
			report.json = true;
		else if (c == 'q')
			report.quiet = true;
		else if ((r = tool_common_option(c, optarg, help)) >= 0)
			return r;
	}
	if (optind < argc)
		return tool_usage("takes no argument, but there is '%s'", argv[optind]);
	r = examine(&report);
	if (r < 0)
		return tool_fail("%s", strerror(-r));
	r = tool_finish_stdout();
	return r == TOOL_OK && report.n[DOCTOR_BROKEN] ? TOOL_FAILURE : r;
}

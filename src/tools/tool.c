/* SPDX-License-Identifier: MIT */
/*
 * tool.c - messages, option arguments and the node: see tool.h
 */
#include "tools/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *program = "zcp", *command = "zcp";
static const char *socket_path;

void tool_set_program(const char *name)
{
	program = command = name;
}

void tool_set_command(const char *argv0)
{
	command = argv0;
}

void tool_fill_standard_fds(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
		    open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
			_exit(TOOL_FAILURE);
	}
}

const char *tool_socket(void)
{
	return socket_path;
}

void tool_set_socket(const char *path)
{
	socket_path = path;
}

int tool_usage(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "%s: ", command);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "; '%s --help' tells more\n", command);
	return TOOL_USAGE;
}

int tool_fail(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "%s: ", program);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	return TOOL_FAILURE;
}

int tool_fail_zcp(int error)
{
	const char *reason = zcp_last_error();

	return tool_fail("%s", *reason ? reason : strerror(-error));
}

int tool_finish_stdout(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return TOOL_OK;
	if (errno == EPIPE)
		return TOOL_OK;
	return tool_fail("standard output: %s", strerror(errno));
}

int tool_common_option(int option, const char *argument, const char *help)
{
	switch (option) {
	case 'h':
		fputs(help, stdout);
		return tool_finish_stdout();
	case TOOL_OPTION_VERSION:
		printf("%s %s\n", program, zcp_version());
		return tool_finish_stdout();
	case TOOL_OPTION_SOCKET:
		if (!*argument)
			return tool_usage("--socket: the path is empty");
		tool_set_socket(argument);
		return -1;
	default:
		return TOOL_USAGE;
	}
}

/* Digits at the start of @text, without the sign and the white space that strtoull would take. */
static bool parse_digits(const char *text, uint64_t *value, const char **end)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &stop, 10);
	*end = stop;
	return !errno;
}

bool tool_parse_count(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	const char *end;

	if (!parse_digits(text, value, &end) || *end || *value < min || *value > max) {
		tool_usage("%s wants a number from %llu to %llu, not '%s'", option,
			   (unsigned long long)min, (unsigned long long)max, text);
		return false;
	}
	return true;
}

static bool size_suffix(const char *suffix, unsigned int *shift)
{
	static const char letters[] = "KMG";
	const char *letter;

	*shift = 0;
	if (!*suffix)
		return true;
	letter = strchr(letters, *suffix >= 'a' ? *suffix - 'a' + 'A' : *suffix);
	if (!letter)
		return false;
	*shift = 10 * (unsigned int)(letter - letters + 1);
	return !suffix[1] || !strcmp(suffix + 1, "B") || !strcmp(suffix + 1, "iB");
}

bool tool_parse_size(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	const char *suffix;
	unsigned int shift;

	if (parse_digits(text, value, &suffix) && size_suffix(suffix, &shift) &&
	    *value <= max >> shift && *value << shift >= min) {
		*value <<= shift;
		return true;
	}
	tool_usage("%s wants a size from %llu to %llu bytes (suffixes K, M, G), not '%s'", option,
		   (unsigned long long)min, (unsigned long long)max, text);
	return false;
}

/* A plain decimal number: no sign, no exponent's surprises, no "nan". */
static bool parse_decimal(const char *text, double *value)
{
	char *end;

	if (!*text || strspn(text, "0123456789.") != strlen(text))
		return false;
	*value = strtod(text, &end);
	return !*end && isfinite(*value);
}

bool tool_parse_seconds(const char *option, const char *text, int64_t *nanoseconds)
{
	double seconds;

	if (!parse_decimal(text, &seconds) || seconds > 1e9) {
		tool_usage("%s wants seconds, like 2 or 0.5, not '%s'", option, text);
		return false;
	}
	*nanoseconds = (int64_t)(seconds * 1e9);
	return true;
}

bool tool_parse_rate(const char *option, const char *text, double *hertz)
{
	if (!parse_decimal(text, hertz) || *hertz < 1e-6 || *hertz > 1e9) {
		tool_usage("%s wants messages per second, like 10 or 0.5, not '%s'", option, text);
		return false;
	}
	return true;
}

bool tool_parse_topic(const char *text, struct tool_topic *topic)
{
	static const char *const names[] = { "service", "instance", "event" };
	enum name_fault fault;
	int part;

	if (name_split_topic(text, topic->parts, &fault, &part) < 0) {
		if (part < 0 || part > 2)
			tool_usage("a topic is SERVICE/INSTANCE/EVENT, not '%s'", text);
		else
			tool_usage("topic '%s': the %s name %s", text, names[part],
				   name_fault_text(fault));
		return false;
	}
	topic->topic.service = topic->parts[0];
	topic->topic.instance = topic->parts[1];
	topic->topic.event = topic->parts[2];
	return true;
}

const char *tool_role_name(uint32_t role)
{
	static const char *const names[] = {
		[ZCP_PUBLISHER] = "publisher", [ZCP_SUBSCRIBER] = "subscriber", [ZCP_SERVER] = "server", [ZCP_CLIENT] = "client",
		[ZCP_NOTIFIER] = "notifier", [ZCP_LISTENER] = "listener",
	};

	return role && role < sizeof(names) / sizeof(*names) ? names[role] : "endpoint";
}

const char *tool_signal_name(int number, char text[TOOL_SIGNAL_NAME])
{
	const char *name = sigabbrev_np(number);

	if (name)
		snprintf(text, TOOL_SIGNAL_NAME, "SIG%s", name);
	else
		snprintf(text, TOOL_SIGNAL_NAME, "signal %d", number);
	return text;
}

int tool_node_open(zcp_node **node, const char *name, bool autostart)
{
	const struct zcp_node_options options = {
		.sz = sizeof(options),
		.socket_path = socket_path,
		.autostart = autostart,
	};
	int r = zcp_node_open(node, name, &options);

	if (r < 0)
		tool_fail_zcp(r);
	return r;
}

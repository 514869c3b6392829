/* SPDX-License-Identifier: MIT */
/* See settings.h. */

#include "router/settings.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/options.h"

#define IN_ROUTER(field) offsetof(struct options, router.field)
#define MOST_ROWS (1u << 20)
#define MOST_MATCHES (1u << 24)
#define LONGEST_TOUCH_MS 60000u		/* struct wire_welcome */
#define LONGEST_MS 3600000u

#define SEVEN_EIGHTHS_OF(what) "seven eighths of " what

#define LIMIT(field, most, initial, name, argument, help, shown) \
	{ SETTING_COUNT, IN_ROUTER(field), most, initial, "limits", name, name, argument, help, shown }
#define DETECTOR(bit, name, option, help) \
	{ SETTING_DETECTOR, IN_ROUTER(detectors), bit, DEFAULT_DETECTORS & (bit), "detectors", name, option, NULL, help, NULL }

/* In the order of --help. */
const struct setting settings[N_SETTINGS] = {
	{ SETTING_PATH, offsetof(struct options, socket_path), 0, 0, "router", "socket", "socket", "PATH",
	  "listen here", "$ZCP_ROUTER, $XDG_RUNTIME_DIR/zcp/router.sock, " SOCKET_SYSTEM_PATH },
	{ SETTING_MODE, offsetof(struct options, socket.mode), 0777, 0, "router", "socket-mode", "socket-mode", "MODE",
	  "octal mode of the socket", "0600; 0666 for " SOCKET_SYSTEM_PATH },
	{ SETTING_LOOP, IN_ROUTER(loop), 0, LOOP_AUTO, "router", "loop", "loop", "io_uring|epoll|auto",
	  "event loop", "auto: io_uring, else epoll" },

	LIMIT(max_nodes, MOST_ROWS, DEFAULT_MAX_NODES, "max-nodes", "N", "", NULL),
	LIMIT(max_endpoints, MOST_ROWS, DEFAULT_MAX_ENDPOINTS, "max-endpoints", "N", "", NULL),
	LIMIT(max_matches, MOST_MATCHES, DEFAULT_MAX_MATCHES, "max-matches", "N", "connections between endpoints", NULL),
	LIMIT(max_nodes_per_uid, MOST_ROWS, DEFAULT_MAX_NODES_PER_UID, "max-nodes-per-uid", "N", "", NULL),
	LIMIT(max_endpoints_per_uid, MOST_ROWS, 0, "max-endpoints-per-uid", "N", "", SEVEN_EIGHTHS_OF("max-endpoints")),
	LIMIT(max_matches_per_uid, MOST_MATCHES, 0, "max-matches-per-uid", "N", "", SEVEN_EIGHTHS_OF("max-matches")),
	LIMIT(max_fds_per_uid, INT_MAX, 0, "max-fds-per-uid", "N", "descriptors", SEVEN_EIGHTHS_OF("RLIMIT_NOFILE")),
	{ SETTING_SIZE, IN_ROUTER(max_bytes_per_uid), UINT64_MAX, DEFAULT_MAX_BYTES_PER_UID, "limits", "max-bytes-per-uid",
	  "max-bytes-per-uid", "SIZE", "virtual size of segments, with suffix K, M, G or T", NULL },
	LIMIT(max_endpoints_per_node, MOST_ROWS, DEFAULT_MAX_ENDPOINTS_PER_NODE, "max-endpoints-per-node", "N", "", NULL),
	LIMIT(max_fds_per_node, INT_MAX, DEFAULT_MAX_FDS_PER_NODE, "max-fds-per-node", "N", "", NULL),
	{ SETTING_SIZE, IN_ROUTER(max_bytes_per_node), UINT64_MAX, DEFAULT_MAX_BYTES_PER_NODE, "limits", "max-bytes-per-node",
	  "max-bytes-per-node", "SIZE", "", NULL },

	DETECTOR(DIRECTORY_DETECTOR_BPF, "bpf", "no-bpf", "notice exits without eBPF"),
	DETECTOR(DIRECTORY_DETECTOR_PIDFD, "pidfd", NULL, NULL),
	DETECTOR(DIRECTORY_DETECTOR_SOCKET, "socket", NULL, NULL),
	DETECTOR(DIRECTORY_DETECTOR_HEARTBEAT, "heartbeat", NULL, NULL),
	{ SETTING_COUNT, IN_ROUTER(bpf_ring_bytes), 1u << 30, 0, NULL, NULL, "bpf-ring-bytes", "N", NULL, NULL },

	{ SETTING_MS, IN_ROUTER(heartbeat_ms), LONGEST_TOUCH_MS, DEFAULT_HEARTBEAT_MS, "heartbeat", "touch-ms",
	  "heartbeat-touch-ms", "N", "how often a node shows that it runs", NULL },
	{ SETTING_MS, IN_ROUTER(scan_ms), LONGEST_MS, DEFAULT_SCAN_MS, "heartbeat", "scan-ms",
	  "heartbeat-scan-ms", "N", "how often the router looks", NULL },
	{ SETTING_MS, IN_ROUTER(timeout_ms), LONGEST_MS, DEFAULT_TIMEOUT_MS, "heartbeat", "timeout-ms",
	  "heartbeat-timeout-ms", "N", "when a node counts as unresponsive", NULL },
	{ SETTING_SWITCH, IN_ROUTER(evict_unresponsive), 0, 0, "heartbeat", "evict-unresponsive", "evict-unresponsive", NULL,
	  "remove such a node although its process lives", NULL },
};

static_assert(sizeof(enum loop_kind) == sizeof(int), "set through an int");

/* --- values --------------------------------------------------------------------------------------- */

static int wrong(char expected[static SETTING_EXPECTED_BYTES], const char *text)
{
	snprintf(expected, SETTING_EXPECTED_BYTES, "%s", text);
	return -EINVAL;
}

int setting_number(const char *value, uint64_t min, uint64_t max, uint64_t *result, char expected[static SETTING_EXPECTED_BYTES])
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(value, &end, 10);
	if (errno || *end || value[0] < '0' || value[0] > '9' || n < min || n > max) {
		snprintf(expected, SETTING_EXPECTED_BYTES, "a number from %llu to %llu", (unsigned long long)min,
			 (unsigned long long)max);
		return -EINVAL;
	}
	*result = n;
	return 0;
}

static int parse_size(const char *value, uint64_t max, uint64_t *result, char expected[static SETTING_EXPECTED_BYTES])
{
	static const char suffixes[] = "KMGT";
	unsigned int shift = 0;
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(value, &end, 10);
	if (*end && strchr(suffixes, *end)) {
		shift = 10 * (unsigned int)(strchr(suffixes, *end) - suffixes + 1);
		end++;
	}
	if (errno || *end || value[0] < '0' || value[0] > '9' || !n || n > max >> shift)
		return wrong(expected, "a size such as 512M or 64G");
	*result = n << shift;
	return 0;
}

static int parse_loop(const char *value, int *kind, char expected[static SETTING_EXPECTED_BYTES])
{
	if (!strcmp(value, "auto"))
		*kind = LOOP_AUTO;
	else if (!strcmp(value, "io_uring"))
		*kind = LOOP_URING;
	else if (!strcmp(value, "epoll"))
		*kind = LOOP_EPOLL;
	else
		return wrong(expected, "io_uring, epoll or auto");
	return 0;
}

static int parse_mode(const char *value, unsigned long max, int *mode, char expected[static SETTING_EXPECTED_BYTES])
{
	char *end;
	unsigned long n = strtoul(value, &end, 8);

	if (*end || value[0] < '0' || value[0] > '7' || n > max)
		return wrong(expected, "an octal mode such as 0660");
	*mode = (int)n;
	return 0;
}

static int parse_path(const char *value, char *path, char expected[static SETTING_EXPECTED_BYTES])
{
	if (!value[0] || strlen(value) >= OPTIONS_PATH_BYTES)
		return wrong(expected, "a path");
	strcpy(path, value);
	return 0;
}

static int parse_yes(const char *value, bool *yes, char expected[static SETTING_EXPECTED_BYTES])
{
	*yes = !strcmp(value, "yes");
	return *yes || !strcmp(value, "no") ? 0 : wrong(expected, "yes or no");
}

/* --- rows ----------------------------------------------------------------------------------------- */

static void set_bit(unsigned int *bits, unsigned int bit, bool on)
{
	*bits = on ? *bits | bit : *bits & ~bit;
}

int setting_parse(const struct setting *setting, struct options *options, const char *value,
		  char expected[static SETTING_EXPECTED_BYTES])
{
	void *target = (char *)options + setting->offset;
	uint64_t n = 0;
	bool yes = setting->kind == SETTING_SWITCH;
	int r;

	switch (setting->kind) {
	case SETTING_COUNT:
	case SETTING_MS:
		r = setting_number(value, 1, setting->max, &n, expected);
		if (r >= 0)
			*(uint32_t *)target = (uint32_t)n;
		return r;
	case SETTING_SIZE:
		return parse_size(value, setting->max, target, expected);
	case SETTING_MODE:
		return parse_mode(value, setting->max, target, expected);
	case SETTING_LOOP:
		return parse_loop(value, target, expected);
	case SETTING_PATH:
		return parse_path(value, target, expected);
	case SETTING_SWITCH:
		r = value ? parse_yes(value, &yes, expected) : 0;
		if (r >= 0)
			*(bool *)target = yes;
		return r;
	case SETTING_DETECTOR:
		r = value ? parse_yes(value, &yes, expected) : 0;
		if (r >= 0)
			set_bit(target, (unsigned int)setting->max, yes);
		return r;
	}
	return -EINVAL;
}

static void set_initial(const struct setting *setting, struct options *options)
{
	void *target = (char *)options + setting->offset;

	switch (setting->kind) {
	case SETTING_COUNT:
	case SETTING_MS:
		*(uint32_t *)target = (uint32_t)setting->initial;
		break;
	case SETTING_SIZE:
		*(uint64_t *)target = setting->initial;
		break;
	case SETTING_MODE:
		*(int *)target = -1;
		break;
	case SETTING_LOOP:
		*(int *)target = (int)setting->initial;
		break;
	case SETTING_PATH:
		*(char *)target = 0;
		break;
	case SETTING_SWITCH:
		*(bool *)target = setting->initial;
		break;
	case SETTING_DETECTOR:
		set_bit(target, (unsigned int)setting->max, setting->initial);
		break;
	}
}

void settings_init(struct options *options)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		set_initial(&settings[i], options);
}

const char *setting_default(const struct setting *setting, char text[static 32])
{
	unsigned long long n = setting->initial;
	const char *suffix = "";

	text[0] = 0;
	if (setting->kind == SETTING_SIZE && n && !(n & ((1u << 30) - 1))) {
		n >>= 30;
		suffix = "G";
	}
	if (setting->kind == SETTING_SWITCH || setting->kind == SETTING_DETECTOR)
		snprintf(text, 32, "%s", n ? "yes" : "no");
	else if (n)
		snprintf(text, 32, "%llu%s", n, suffix);
	return text;
}

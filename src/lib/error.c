/* SPDX-License-Identifier: MIT */
/*
 * error.c - the calling thread's last failure as a sentence
 */
#include "config.h"

#include "lib/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "zcp/zcp.h"

#define SENTENCE_BYTES 512

_Thread_local const char *error_last __attribute__((tls_model("initial-exec")));
static _Thread_local char sentence[SENTENCE_BYTES];

const char *zcp_last_error(void)
{
	return error_last ? error_last : "";
}

const char *zcp_version(void)
{
	return PACKAGE_VERSION;
}

int error_set(int err, const char *format, ...)
{
	char text[SENTENCE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	memcpy(sentence, text, sizeof(sentence));
	error_last = sentence;
	return err;
}

int error_system(int err, const char *what)
{
	/* the kernel has more names for these two than the manual */
	if (err == -EMFILE || err == -ENFILE)
		return error_set(-EMFILE, "%s: no descriptor is left; raise RLIMIT_NOFILE (ulimit -n)", what);
	if (err == -ENOMEM || err == -ENOBUFS)
		return error_set(-ENOMEM, "%s: out of memory", what);
	return error_set(err, "%s: %s", what, strerror(-err));
}

int error_forked(void)
{
	return error_note(-EOWNERDEAD, "this handle was opened before fork() and belongs to the parent; "
				       "open a node of your own in the child");
}

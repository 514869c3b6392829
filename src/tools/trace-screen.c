/* SPDX-License-Identifier: MIT */
/*
 * trace-screen.c - see trace-screen.h
 *
 * Three sequences that every terminal since the VT100 knows are enough: to the corner, to the end of the line, to the end of the screen. A line is
 * overwritten and then its rest wiped, so that nothing flickers.
 */
#include "tools/trace-screen.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "tools/text.h"
#include "tools/tool.h"

#define HOME "\033[H"
#define WIPE_LINE "\033[K"
#define WIPE_BELOW "\033[J"

bool screen_is_there(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

int screen_watch(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		tool_fail("signalfd: %s", strerror(errno));
	return fd;
}

bool screen_has_changed(int fd)
{
	struct signalfd_siginfo info;

	return read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info);
}

void screen_size(int *lines, int *columns)
{
	struct winsize size = { 0 };

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	*lines = size.ws_row ? size.ws_row : 24;
	*columns = size.ws_col ? size.ws_col : 80;
}

void screen_begin(void)
{
	int lines, columns;

	screen_size(&lines, &columns);
	while (lines--)
		putchar('\n');
}

/* One line without its end: of a row in red, as far as colours are wanted. */
static void draw_line(const char *line, size_t n, int columns)
{
	bool marked = n && *line == '!' && text_wants_colour();
	char *safe;

	if (text_safe(line, n, columns, &safe) < 0)
		return;
	printf("%s%s%s" WIPE_LINE, marked ? "\033[1;31m" : "", safe, marked ? "\033[m" : "");
	free(safe);
}

void screen_draw(const char *text)
{
	int lines, columns;

	screen_size(&lines, &columns);
	fputs(HOME, stdout);
	/* the last line is the cursor's; in the last column of others it would hang between two lines */
	for (; *text && lines > 1; lines--) {
		size_t n = strcspn(text, "\n");

		draw_line(text, n, columns > 1 ? columns - 1 : 1);
		putchar('\n');
		text += n + (text[n] == '\n');
	}
	fputs(WIPE_BELOW, stdout);
}

void screen_end(void)
{
	fputs(HOME WIPE_BELOW, stdout);
}

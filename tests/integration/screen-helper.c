/* SPDX-License-Identifier: MIT */
/* See screen-helper.h. */
#include "screen-helper.h"

#include <ctype.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

static struct termios before;

struct terminal t;

static void clear_from(int y, int x)
{
	for (; y < ROWS_MAX; y++, x = 0)
		memset(&t.screen[y][x], ' ', (size_t)(COLUMNS_MAX - x));
}

static int bottom(void)
{
	return t.bottom ? t.bottom : t.rows - 1;
}

static void scroll(void)
{
	memmove(t.screen[t.top], t.screen[t.top + 1], sizeof(t.screen[0]) * (size_t)(bottom() - t.top));
	memset(t.screen[bottom()], ' ', COLUMNS_MAX);
	t.n_scrolled += !t.bottom;
}

/* From line @from to line @to, counted from 1; the whole screen is no region. */
static void set_region(int from, int to)
{
	bool all = from <= 1 && (to == 0 || to >= t.rows);

	t.top = all || from > to || to > ROWS_MAX ? 0 : from - 1;
	t.bottom = all || from > to || to > ROWS_MAX ? 0 : to - 1;
	t.x = t.y = 0;
}

static void put(char c)
{
	if (c == '\n' && t.y == bottom())
		scroll();
	else if (c == '\n')
		t.y += t.y < ROWS_MAX - 1;
	else if (c == '\r')
		t.x = 0;
	else if (c == '\b')
		t.x -= t.x > 0;
	else if (isprint((unsigned char)c) && t.x >= t.columns)
		t.n_beyond++;
	else if (isprint((unsigned char)c) && t.y < ROWS_MAX && t.x < COLUMNS_MAX)
		t.screen[t.y][t.x++] = c;
}

/* The sequence at @s, which begins with ESC; its length, or 0: it is not whole yet. */
static size_t sequence(const char *s)
{
	int n[2] = { 0, 0 }, k = 0;
	size_t i = 2;

	if (!s[1])
		return 0;
	if (s[1] == '(' || s[1] == ')')
		return s[2] ? 3 : 0;
	if (s[1] != '[')
		return 2;
	for (; s[i] && !isalpha((unsigned char)s[i]); i++) {
		if (isdigit((unsigned char)s[i]))
			n[k] = n[k] * 10 + s[i] - '0';
		else if (s[i] == ';' && k < 1)
			k++;
	}
	if (!s[i])
		return 0;
	if (s[i] == 'H') {
		t.y = n[0] ? n[0] - 1 : 0;
		t.x = n[1] ? n[1] - 1 : 0;
	} else if (s[i] == 'J') {
		clear_from(n[0] == 2 ? 0 : t.y, n[0] == 2 ? 0 : t.x);
	} else if (s[i] == 'K' && n[0] == 1) {
		memset(t.screen[t.y], ' ', (size_t)t.x + 1);
	} else if (s[i] == 'K') {
		memset(&t.screen[t.y][t.x], ' ', (size_t)(COLUMNS_MAX - t.x));
	} else if (s[i] == 'r') {
		set_region(n[0], n[1]);
	} else if (s[i] == 'A') {
		t.y -= n[0] ? n[0] : 1;
	} else if (s[i] == 'B') {
		t.y += n[0] ? n[0] : 1;
	} else if (s[i] == 'C') {
		t.x += n[0] ? n[0] : 1;
	} else if (s[i] == 'D') {
		t.x -= n[0] ? n[0] : 1;
	}
	t.x = t.x < 0 ? 0 : t.x >= COLUMNS_MAX ? COLUMNS_MAX - 1 : t.x;
	t.y = t.y < 0 ? 0 : t.y >= ROWS_MAX ? ROWS_MAX - 1 : t.y;
	return i + 1;
}

bool screen_read(void)
{
	bool more = top_read(&t.running);

	while (t.done < t.running.used) {
		const char *at = t.running.text + t.done;
		size_t n = *at == '\033' ? sequence(at) : 1;

		if (!n)
			break;
		if (*at != '\033')
			put(*at);
		t.done += n;
	}
	return more;
}

void screen_resize(int rows, int columns)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };

	t.rows = rows;
	t.columns = columns;
	ck_assert_ok(ioctl(t.running.fd, TIOCSWINSZ, &size));
}

void screen_start(const char *term, int rows, int columns, const char *const *argv)
{
	int inner;

	memset(&t, 0, sizeof(t));
	clear_from(0, 0);
	ck_assert_ok(openpty(&t.running.fd, &inner, NULL, NULL, NULL));
	screen_resize(rows, columns);
	ck_assert_ok(tcgetattr(inner, &before));
	t.keep = inner;
	t.running.pid = fork();
	ck_assert_ok(t.running.pid);
	if (!t.running.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("TERM", term, 1);
		unsetenv("COLUMNS");
		unsetenv("LINES");
		if (login_tty(inner) < 0)
			_exit(126);
		close(t.running.fd);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
}

const char *screen_text(void)
{
	static char all[ROWS_MAX * (COLUMNS_MAX + 2)];
	char *at = all;

	for (int y = 0; y < t.rows; y++) {
		memcpy(at, t.screen[y], (size_t)t.columns);
		at += t.columns;
		*at++ = '\n';
	}
	*at = 0;
	return all;
}

bool shows(const char *what)
{
	screen_read();
	return strstr(screen_text(), what) != NULL;
}

void keys(const char *bytes)
{
	ck_assert_int_eq(write(t.running.fd, bytes, strlen(bytes)), (ssize_t)strlen(bytes));
}

bool screen_had_colours(void)
{
	for (const char *at = t.running.text; at && (at = strstr(at, "\033[")) != NULL; at += 2) {
		const char *end = at + 2 + strspn(at + 2, "0123456789;");

		if (*end != 'm')
			continue;
		for (const char *n = at + 2; n < end; n += strcspn(n, ";m") + 1)
			if (atoi(n) >= 30 && atoi(n) <= 38)
				return true;
	}
	return false;
}

/* It ends, and has put back what it has changed. */
void screen_expect_end(int expected)
{
	struct termios after;
	int status = 0;

	ck_assert_within((screen_read(), waitpid(t.running.pid, &status, WNOHANG) == t.running.pid), 3 * DEADLINE_MS);	/* it may have probes to detach */
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == expected, "status 0x%x:\n%s", status, screen_text());
	ck_assert_ok(tcgetattr(t.keep, &after));
	ck_assert_uint_eq(after.c_lflag, before.c_lflag);
	ck_assert_uint_eq(after.c_iflag, before.c_iflag);
	ck_assert_uint_eq(after.c_oflag, before.c_oflag);
	close(t.running.fd);
	close(t.keep);
	top_free(&t.running);
}

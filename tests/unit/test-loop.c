/* SPDX-License-Identifier: MIT */
/*
 * Watches and the tick, on both backends. Links are what every suite of tests/integration is about.
 */

#include "router/loop.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/fd.h"
#include "harness.h"

#define N_LOOPS 2
#define N_WATCHES 8

struct scene {
	struct loop *loop;
	struct loop_watch *watches[N_WATCHES];
	int fds[N_WATCHES];
	unsigned int n_events[N_WATCHES], n_ticks;
	int (*readable)(struct scene *scene, int i);
	int (*tick)(struct scene *scene);
};

static struct scene scene;

static int on_readable(void *context, struct loop_watch *watch)
{
	struct scene *s = context;

	for (int i = 0; i < N_WATCHES; i++) {
		if (s->watches[i] != watch)
			continue;
		s->n_events[i]++;
		return s->readable(s, i);
	}
	ck_abort_msg("an event names a watch that is gone");
}

static int on_tick(void *context, uint64_t now)
{
	struct scene *s = context;

	(void)now;
	s->n_ticks++;
	return s->tick(s);
}

static int nothing(void *context)
{
	(void)context;
	return 0;
}

static const struct loop_events events = { .readable = on_readable, .tick = on_tick, .stopping = nothing, .settle = nothing };

static int never(struct scene *s, int i)
{
	(void)s;
	ck_abort_msg("watch %d was reported", i);
}

static void watch(int i)
{
	scene.watches[i] = malloc(sizeof(*scene.watches[i]));
	ck_assert_ptr_nonnull(scene.watches[i]);
	ck_assert_int_eq(loop_watch(scene.loop, scene.watches[i], scene.fds[i]), 0);
}

/* As an owner does it: the memory and the descriptor go at once. */
static void forget(int i)
{
	if (!scene.watches[i])
		return;
	loop_unwatch(scene.loop, scene.watches[i]);
	memset(scene.watches[i], 0xee, sizeof(*scene.watches[i]));
	free(scene.watches[i]);
	scene.watches[i] = NULL;
	scene.fds[i] = fd_close(scene.fds[i]);
}

static void start(int loop, unsigned int count)
{
	scene = (struct scene){ .readable = never };
	ck_assert_int_eq(loop_open(&scene.loop, loop ? LOOP_EPOLL : LOOP_URING, 2000000, &events, &scene), 0);
	for (int i = 0; i < N_WATCHES; i++) {
		scene.fds[i] = eventfd(count, EFD_CLOEXEC | EFD_NONBLOCK);
		ck_assert_ok(scene.fds[i]);
	}
}

static void run(void)
{
	ck_assert_int_eq(loop_run(scene.loop), 0);
	for (int i = 0; i < N_WATCHES; i++) {
		forget(i);
		scene.fds[i] = fd_close(scene.fds[i]);
	}
	loop_close(scene.loop);
}

static int stop_after_ten(struct scene *s)
{
	if (s->n_ticks == 10)
		loop_stop(s->loop);
	return 0;
}

static int forget_at_third(struct scene *s, int i)
{
	if (s->n_events[i] == 3)
		forget(i);
	return 0;
}

/* Reported while it is readable, and not once more. */
START_TEST(level_triggered)
{
	start(_i, 1);
	scene.readable = forget_at_third;
	scene.tick = stop_after_ten;
	for (int i = 0; i < N_WATCHES; i++)
		watch(i);
	run();
	for (int i = 0; i < N_WATCHES; i++)
		ck_assert_uint_eq(scene.n_events[i], 3);
	ck_assert_uint_ge(scene.n_ticks, 10);
}
END_TEST

static int write_at_second(struct scene *s)
{
	if (s->n_ticks == 2)
		ck_assert_int_eq(eventfd_write(s->fds[3], 1), 0);
	return stop_after_ten(s);
}

static int read_it(struct scene *s, int i)
{
	eventfd_t count;

	ck_assert_int_eq(eventfd_read(s->fds[i], &count), 0);
	return 0;
}

START_TEST(becomes_readable)
{
	start(_i, 0);
	scene.readable = read_it;
	scene.tick = write_at_second;
	for (int i = 0; i < N_WATCHES; i++)
		watch(i);
	run();
	for (int i = 0; i < N_WATCHES; i++)
		ck_assert_uint_eq(scene.n_events[i], i == 3);
}
END_TEST

static int forget_all(struct scene *s, int i)
{
	(void)s, (void)i;
	for (int k = 0; k < N_WATCHES; k++)
		forget(k);
	return 0;
}

/* All are readable at the same moment, and the first one's owner forgets them all. */
START_TEST(forgotten_in_the_batch)
{
	unsigned int n = 0;

	start(_i, 1);
	scene.readable = forget_all;
	scene.tick = stop_after_ten;
	for (int i = 0; i < N_WATCHES; i++)
		watch(i);
	run();
	for (int i = 0; i < N_WATCHES; i++)
		n += scene.n_events[i];
	ck_assert_uint_eq(n, 1);
}
END_TEST

static int watch_anew(struct scene *s)
{
	for (int i = 0; i < N_WATCHES; i++) {
		forget(i);
		fd_close(s->fds[i]);
		s->fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ck_assert_ok(s->fds[i]);
		watch(i);
		if (i % 2) {	/* before it was ever armed */
			loop_unwatch(s->loop, s->watches[i]);
			loop_unwatch(s->loop, s->watches[i]);
			ck_assert_int_eq(loop_watch(s->loop, s->watches[i], s->fds[i]), 0);
		}
	}
	if (s->n_ticks == 200)
		loop_stop(s->loop);
	return 0;
}

START_TEST(many_generations)
{
	start(_i, 0);
	scene.tick = watch_anew;
	run();
	ck_assert_uint_eq(scene.n_ticks, 200);
}
END_TEST

static int pipe_end;

static bool reader_is_gone(void)
{
	struct pollfd fd = { .fd = pipe_end };

	return poll(&fd, 1, 0) == 1 && fd.revents & POLLERR;
}

static int forget_pipe(struct scene *s)
{
	if (s->n_ticks == 3) {
		ck_assert(!reader_is_gone());
		forget(0);
	} else if (s->n_ticks == 1000 || (s->n_ticks > 3 && reader_is_gone())) {
		loop_stop(s->loop);
	}
	return 0;
}

/* Nothing in the kernel holds on to the file of a watch that is gone. */
START_TEST(file_is_let_go)
{
	int fds[2];

	start(_i, 0);
	ck_assert_ok(pipe2(fds, O_CLOEXEC));
	fd_close(scene.fds[0]);
	scene.fds[0] = fds[0];
	pipe_end = fds[1];
	scene.tick = forget_pipe;
	watch(0);
	ck_assert_int_eq(loop_run(scene.loop), 0);
	ck_assert(reader_is_gone());	/* while the ring is still there */
	for (int i = 0; i < N_WATCHES; i++)
		scene.fds[i] = fd_close(scene.fds[i]);
	loop_close(scene.loop);
	close(pipe_end);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("loop");
	TCase *watches = add_test_case(suite, "watches", 30);

	tcase_add_loop_test(watches, level_triggered, 0, N_LOOPS);
	tcase_add_loop_test(watches, becomes_readable, 0, N_LOOPS);
	tcase_add_loop_test(watches, forgotten_in_the_batch, 0, N_LOOPS);
	tcase_add_loop_test(watches, many_generations, 0, N_LOOPS);
	tcase_add_loop_test(watches, file_is_let_go, 0, N_LOOPS);
	return run_suite(suite);
}

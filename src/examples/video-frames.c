/* SPDX-License-Identifier: MIT */
/*
 * video-frames.c - publishes frames of 640 x 480 pixels: those of a raw file, or a moving pattern
 *
 *	video-frames [--rate HZ] [--count N] [FILE]
 *
 * A frame is written into shared memory by whoever makes it, here by read(2) or by the pattern, and never copied after that. The
 * pattern is live: nobody is waited for, and a viewer that is too slow misses frames. A file is for every frame to arrive:
 * it waits for a viewer, and then for that to keep up. With --rate 0 there is no clock.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "video-frames.h"

#define DEFAULT_RATE 30

static volatile sig_atomic_t stop;

static void on_signal(int signal_number)
{
	stop = signal_number;
}

static int fail(const char *what)
{
	fprintf(stderr, "video-frames: %s: %s\n", what, zcp_last_error());
	return 1;
}

/* Colours that move diagonally. */
static void draw(unsigned char *pixels, unsigned int frame)
{
	for (unsigned int y = 0; y < VIDEO_HEIGHT; y++) {
		for (unsigned int x = 0; x < VIDEO_WIDTH; x++) {
			*pixels++ = (unsigned char)(x + frame * 2);
			*pixels++ = (unsigned char)(y + frame * 3);
			*pixels++ = (unsigned char)((x ^ y) + frame);
		}
	}
}

/* The next frame of the file, in place. False at its end; what is left of half a frame is no frame. */
static bool read_frame(int fd, unsigned char *pixels)
{
	size_t used = 0;

	while (used < VIDEO_FRAME_BYTES) {
		ssize_t n = read(fd, pixels + used, VIDEO_FRAME_BYTES - used);

		if (n <= 0)
			return false;
		used += (size_t)n;
	}
	return true;
}

/* 1 published; 0 there are no more; -1 after a complaint. */
static int publish_frame(zcp_publisher *publisher, int fd, unsigned int frame)
{
	struct video_header header = { .width = VIDEO_WIDTH, .height = VIDEO_HEIGHT, .format = VIDEO_RGB24 };
	void *pixels;

	if (zcp_publisher_loan(publisher, VIDEO_FRAME_BYTES, &pixels) < 0) {
		fail("cannot loan");
		return -1;
	}
	if (fd < 0) {
		draw(pixels, frame);
	} else if (!read_frame(fd, pixels)) {
		zcp_publisher_discard(publisher, pixels);
		return 0;
	}
	header.checksum = video_checksum(pixels, VIDEO_FRAME_BYTES);
	if (zcp_publisher_publish_with(publisher, pixels, VIDEO_FRAME_BYTES, &header) < 0) {
		fail("cannot publish");
		return -1;
	}
	return 1;
}

static void sleep_until(struct timespec *due, double rate)
{
	int64_t ns;

	if (rate <= 0)
		return;
	ns = due->tv_nsec + (int64_t)(1e9 / rate);
	due->tv_sec += (time_t)(ns / 1000000000);
	due->tv_nsec = (long)(ns % 1000000000);
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, due, NULL);
}

static int run(int fd, double rate, unsigned long count)
{
	const struct zcp_node_options node_options = { .sz = sizeof(node_options), .autostart = true };
	const struct zcp_publisher_options options = {
		.sz = sizeof(options),
		.payload_max = VIDEO_FRAME_BYTES,
		.header_size = sizeof(struct video_header),
		.depth = 4,
		.reliable = fd >= 0,
		.timeout = -1,
		.type = video_type,
	};
	zcp_publisher *publisher;
	struct timespec due;
	zcp_node *node;
	int r = 1;

	if (zcp_node_open(&node, "video-frames", &node_options) < 0)
		return fail("cannot join");
	if (zcp_publisher_open(&publisher, node, &video_topic, &options) < 0)
		return fail("cannot open the publisher");
	if (fd >= 0 && zcp_publisher_wait(publisher, 1, -1) < 0)
		return fail("no viewer");
	clock_gettime(CLOCK_MONOTONIC, &due);
	for (unsigned int i = 0; r > 0 && !stop && (!count || i < count); i++) {
		r = publish_frame(publisher, fd, i);
		sleep_until(&due, rate);
	}
	zcp_publisher_close(publisher);
	zcp_node_close(node);
	return r < 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "rate", required_argument, NULL, 'r' },
		{ "count", required_argument, NULL, 'n' },
		{ 0 },
	};
	struct sigaction action = { .sa_handler = on_signal };
	double rate = DEFAULT_RATE;
	unsigned long count = 0;
	int c, fd = -1, r;

	while ((c = getopt_long(argc, argv, "r:n:", options, NULL)) != -1) {
		if (c == 'r')
			rate = strtod(optarg, NULL);
		else if (c == 'n')
			count = strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (!(rate >= 0 && rate <= 1e6) || argc - optind > 1) {
		fprintf(stderr, "usage: video-frames [--rate HZ] [--count N] [FILE]\n");
		return 2;
	}
	if (optind < argc) {
		fd = open(argv[optind], O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			perror(argv[optind]);
			return 1;
		}
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	r = run(fd, rate, count);
	if (fd >= 0)
		close(fd);
	return r;
}

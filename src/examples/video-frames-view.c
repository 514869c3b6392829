/* SPDX-License-Identifier: MIT */
/*
 * video-frames-view.c - checks the frames that video-frames publishes, and may write them to a file
 *
 *	video-frames-view [--count N] [--output FILE]
 *
 * Ends after N frames, by Ctrl-C, or with status 1 when a frame is not what its header says. Nothing is copied: the checksum is
 * calculated, and the file written, from where the frame lies.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "video-frames.h"

static volatile sig_atomic_t stop;

static void on_signal(int signal_number)
{
	stop = signal_number;
}

static int fail(const char *what)
{
	fprintf(stderr, "video-frames-view: %s: %s\n", what, zcp_last_error());
	return 1;
}

/* 0, or 1 after a complaint. */
static int check(const struct zcp_sample *sample)
{
	struct video_header header;

	if (sample->header_size != sizeof(header)) {
		fprintf(stderr, "video-frames-view: message %" PRIu64 " has no header of a frame\n", sample->sequence);
		return 1;
	}
	memcpy(&header, sample->header, sizeof(header));
	if (header.format != VIDEO_RGB24 || sample->size != (size_t)header.width * header.height * 3) {
		fprintf(stderr, "video-frames-view: frame %" PRIu64 ": %zu bytes of format %08" PRIx32 " are not %u x %u pixels\n",
			sample->sequence, sample->size, header.format, header.width, header.height);
		return 1;
	}
	if (video_checksum(sample->data, sample->size) != header.checksum) {
		fprintf(stderr, "video-frames-view: frame %" PRIu64 ": the checksum is wrong\n", sample->sequence);
		return 1;
	}
	printf("#%-5" PRIu64 " %u x %u, checksum %016" PRIx64 " is right%s\n", sample->sequence, header.width, header.height,
	       header.checksum, sample->lost ? "  (frames were missed)" : "");
	fflush(stdout);
	return 0;
}

static int view(zcp_subscriber *subscriber, FILE *output, unsigned long count)
{
	for (unsigned long n = 0; !stop && (!count || n < count);) {
		struct zcp_sample sample;
		/* Not for ever: waiting in the library is not ended by a signal. */
		int r = zcp_subscriber_wait(subscriber, 100000000);

		if (r == -ETIMEDOUT)
			continue;
		if (r < 0)
			return fail("cannot wait");
		if (zcp_subscriber_take(subscriber, &sample) < 0)
			continue;
		r = check(&sample);
		if (!r && output && fwrite(sample.data, 1, sample.size, output) != sample.size) {
			perror("video-frames-view: output");
			r = 1;
		}
		zcp_sample_release(&sample);
		if (r)
			return r;
		n++;
	}
	return 0;
}

static int run(FILE *output, unsigned long count)
{
	const struct zcp_node_options node_options = { .sz = sizeof(node_options), .autostart = true };
	const struct zcp_subscriber_options options = { .sz = sizeof(options), .type = video_type };
	zcp_subscriber *subscriber;
	zcp_node *node;
	int r;

	if (zcp_node_open(&node, "video-frames-view", &node_options) < 0)
		return fail("cannot join");
	if (zcp_subscriber_open(&subscriber, node, &video_topic, &options) < 0)
		return fail("cannot open the subscriber");
	r = view(subscriber, output, count);
	zcp_subscriber_close(subscriber);
	zcp_node_close(node);
	return r;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'n' },
		{ "output", required_argument, NULL, 'o' },
		{ 0 },
	};
	struct sigaction action = { .sa_handler = on_signal };
	unsigned long count = 0;
	FILE *output = NULL;
	int c, r;

	while ((c = getopt_long(argc, argv, "n:o:", options, NULL)) != -1) {
		if (c == 'n')
			count = strtoul(optarg, NULL, 10);
		else if (c != 'o')
			return 2;
		else if (!(output = fopen(optarg, "we"))) {
			perror(optarg);
			return 1;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "usage: video-frames-view [--count N] [--output FILE]\n");
		return 2;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	r = run(output, count);
	if (output && fclose(output) && !r) {
		perror("video-frames-view: output");
		r = 1;
	}
	return r;
}

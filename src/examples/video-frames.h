/* SPDX-License-Identifier: MIT */
/*
 * video-frames.h - what video-frames publishes and video-frames-view checks
 *
 * A payload is nothing but pixels, so that a camera or a decoder can write it in place; what they mean travels beside them,
 * in the message's user header, which has room for 16 bytes.
 */
#ifndef VIDEO_FRAMES_H
#define VIDEO_FRAMES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <zcp/zcp.h>

#define VIDEO_WIDTH 640
#define VIDEO_HEIGHT 480
#define VIDEO_RGB24 0x34424752u		/* "RGB4": three bytes a pixel, row by row */
#define VIDEO_FRAME_BYTES ((size_t)VIDEO_WIDTH * VIDEO_HEIGHT * 3)

struct video_header {
	uint16_t width, height;		/* pixels */
	uint32_t format;
	uint64_t checksum;		/* video_checksum() of the payload */
};

static const struct zcp_topic video_topic = { "video", "demo", "frames" };
static const struct zcp_type video_type = { .name = "video frame" };

/* FNV-1a, a word of 8 bytes at a time. */
static inline uint64_t video_checksum(const void *data, size_t bytes)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325), word;

	for (size_t i = 0; i + sizeof(word) <= bytes; i += sizeof(word)) {
		memcpy(&word, (const char *)data + i, sizeof(word));
		sum = (sum ^ word) * UINT64_C(0x100000001b3);
	}
	return sum;
}

#endif

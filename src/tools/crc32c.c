/* SPDX-License-Identifier: MIT */
/*
 * crc32c.c - see crc32c.h
 *
 * The table is made at the first use: eight bytes a step, each looked up in a table of its own ("slicing by 8").
 */
#include "tools/crc32c.h"

#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u	/* reflected */

static uint32_t table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
		table[0][i] = crc;
	}
	for (uint32_t i = 0; i < 256; i++) {
		for (int k = 1; k < 8; k++)
			table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 0xff];
	}
}

uint32_t crc32c_by_table(uint32_t crc, const void *bytes, size_t size)
{
	const uint8_t *p = bytes;

	pthread_once(&once, make_table);
	crc = ~crc;
	for (; size >= 8; p += 8, size -= 8) {
		uint32_t low = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);

		crc = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^ table[5][low >> 16 & 0xff] ^ table[4][low >> 24] ^
		      table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
	}
	for (; size; p++, size--)
		crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
	return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const void *bytes, size_t size)
{
	const uint8_t *p = bytes;
	uint64_t wide = ~crc;

	for (; size >= 8; p += 8, size -= 8) {
		uint64_t word;

		memcpy(&word, p, 8);
		wide = _mm_crc32_u64(wide, word);
	}
	crc = (uint32_t)wide;
	for (; size; p++, size--)
		crc = _mm_crc32_u8(crc, *p);
	return ~crc;
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t size)
{
	return __builtin_cpu_supports("sse4.2") ? by_instruction(crc, bytes, size) : crc32c_by_table(crc, bytes, size);
}
#else
uint32_t crc32c(uint32_t crc, const void *bytes, size_t size)
{
	return crc32c_by_table(crc, bytes, size);
}
#endif

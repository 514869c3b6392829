/* SPDX-License-Identifier: MIT */
/*
 * words.h - payload words of an inline slot, which two processes touch at once
 *
 * A lapped reader may copy a slot while the writer fills it with its next message; the copy is thrown away
 * afterwards (tail has moved), but the accesses themselves must be atomic for the C memory model and for
 * ThreadSanitizer. So inline payloads move as relaxed 64-bit words; on every machine we run on these are plain
 * loads and stores.
 */
#ifndef ZCP_CHANNEL_WORDS_H
#define ZCP_CHANNEL_WORDS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SANITIZE_THREAD__)
#define ZCP_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ZCP_TSAN 1
#endif
#endif

/* One word; memcpy because the user's side may have any alignment. */
static inline void word_store(_Atomic uint64_t *to, const unsigned char *from)
{
	uint64_t v;

	memcpy(&v, from, 8);
	atomic_store_explicit(to, v, memory_order_relaxed);
}

static inline void word_load(unsigned char *to, const _Atomic uint64_t *from)
{
	uint64_t v = atomic_load_explicit(from, memory_order_relaxed);

	memcpy(to, &v, 8);
}

/* Copy @size bytes into a slot's payload area; the last word is filled up with zeroes. */
static inline void words_store(_Atomic uint64_t *to, const void *from, size_t size)
{
	const unsigned char *p = from;
	uint64_t v = 0;

	/* compilers do not unroll atomic accesses by themselves */
	for (; size >= 32; size -= 32, p += 32, to += 4) {
		word_store(to, p);
		word_store(to + 1, p + 8);
		word_store(to + 2, p + 16);
		word_store(to + 3, p + 24);
	}
	for (; size >= 8; size -= 8, p += 8)
		word_store(to++, p);
	if (size) {
		memcpy(&v, p, size);
		atomic_store_explicit(to, v, memory_order_relaxed);
	}
}

/* Two words loaded one by one and stored together. */
static inline void pair_load(unsigned char *to, const _Atomic uint64_t *from)
{
	typedef uint64_t pair __attribute__((vector_size(16)));
	pair v = { atomic_load_explicit(from, memory_order_relaxed), atomic_load_explicit(from + 1, memory_order_relaxed) };

	memcpy(to, &v, 16);
}

/*
 * Copy whole words until @size bytes are there; @to has room for the rounded-up size. Stored in pairs, because users read
 * payloads with vector instructions, and a wide load right behind narrow stores stalls.
 */
static inline void words_load(void *to, const _Atomic uint64_t *from, size_t size)
{
	unsigned char *p = to;

	for (; size >= 32; size -= 32, p += 32, from += 4) {
		pair_load(p, from);
		pair_load(p + 16, from + 2);
	}
	if (size >= 16) {
		pair_load(p, from);
		size -= 16, p += 16, from += 2;
	}
	for (size_t done = 0; done < size; done += 8)
		word_load(p + done, from++);
}

/*
 * Copy a chunk that its writer may be overwriting: the caller finds out afterwards. Kept from ThreadSanitizer's
 * eyes for that reason; volatile words so that the compiler does not turn it into a memcpy call, which is
 * intercepted.
 */
__attribute__((no_sanitize("thread"), noinline, unused)) static void words_copy_racy(void *to, const void *from, size_t size)
{
#ifdef ZCP_TSAN
	const volatile unsigned char *s = from;
	volatile unsigned char *d = to;

	while (size--)
		*d++ = *s++;
#else
	memcpy(to, from, size);
#endif
}

#endif

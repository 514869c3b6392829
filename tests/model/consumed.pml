/* SPDX-License-Identifier: MIT */
/*
 * Consumed messages of a reliable channel: retired without any barrier.
 *
 * Mirrors: channel_writer_retire (the consumed part: cursors by acquire, tail, scan of the pins, limbo) and
 * channel_writer_publish; channel_reader_take (chunk case, batched cursor) and channel_reader_release.
 *
 * Proven: each message reaches each reader exactly once and in order, the tail never passes a reader, and
 * a chunk keeps its message as long as a reader holds it, although neither side has a fence or a membarrier
 * here. The pin is stored before the cursor and both stay in that order, so a writer that has read the
 * cursor reads the pin too, provided it reads the pins after the cursors (MUT_PINS_FIRST). All runs end
 * with everything delivered: a writer that waits for nothing but a cursor (never for a pin) is always woken,
 * if the pool has DEPTH + K x readers + 1 chunks.
 *
 * Abstracted, and why that is sound:
 *  - A reader holds up to K samples and gives them back in any order at any time; a held chunk is one word,
 *    read when it is given back (see overrun.pml). Taking has the tail check of the C code, here as an assertion.
 *  - The cursor may be stored late while the next message is ready, as often as the reader likes.
 *  - Waiting is a wait for the polled words to change (tso.pml); wake.pml has the sleeping.
 *  - The writer retires as soon as one message can be: the batching of the C code (R/8 at once) only makes
 *    it retire less.
 *
 * Parameters: NR readers, K pins of each, R slots, DEPTH, M messages.
 * Mutations: MUT_CURSOR_FIRST (cursor stored before pin), MUT_NOSCAN (pins not scanned), MUT_PINS_FIRST
 * (pins scanned before the cursors are read), MUT_ONE_CURSOR (with NR=2: the second lane's cursor ignored),
 * MUT_CURSOR_LATE (the cursor stays unstored although nothing more is ready).
 */

#ifndef NR
#define NR 1
#endif
#ifndef K
#define K 1
#endif
#ifndef R
#define R 2
#endif
#ifndef DEPTH
#define DEPTH 1
#endif
#ifndef M
#define M 4
#endif
#define NPIN (K * NR)
#define NC (DEPTH + NPIN + 1)

#define NP (NR + 1)
#define TAIL 0
#define SEQ(i) (1 + (i))
#define REF(i) (1 + R + (i))
#define CHUNK(c) (1 + 2 * R + (c))
#define PIN(i) (1 + 2 * R + NC + (i))
#define CURSOR(l) (1 + 2 * R + NC + NPIN + (l))
#define NA (1 + 2 * R + NC + NPIN + NR)

#define PINNED1(o) ((o) == pins[0])
#if NPIN > 1
#define PINNED2(o) (PINNED1(o) || (o) == pins[1])
#else
#define PINNED2(o) PINNED1(o)
#endif
#if NPIN > 2
#define PINNED3(o) (PINNED2(o) || (o) == pins[2])
#else
#define PINNED3(o) PINNED2(o)
#endif
#if NPIN > 3
#define PINNED4(o) (PINNED3(o) || (o) == pins[3])
#else
#define PINNED4(o) PINNED3(o)
#endif
#ifdef MUT_NOSCAN
#define PINNED(o) false
#else
#define PINNED(o) PINNED4(o)
#endif

#if NR > 1
#define CURSOR_MOVED (mem[CURSOR(0)] != seen[0] || mem[CURSOR(1)] != seen[1])
#else
#define CURSOR_MOVED (mem[CURSOR(0)] != seen[0])
#endif

#include "tso.pml"

inline find_free()
{
	c = 0;
	do
	:: c < NC && own[c] != 0 -> c++
	:: else -> break
	od
}

inline load_pins()
{
	do
	:: i < NPIN -> atomic {
		load(0, PIN(i), pins[i]);
		i++;
		if
		:: i == NPIN -> i = 0; break
		:: else
		fi
	   }
	od
}

inline load_cursors()
{
	do
	:: i < NR -> atomic {
		load(0, CURSOR(i), seen[i]);
		i++;
		if
		:: i == NR -> i = 0; break
		:: else
		fi
	   }
	od
}

active proctype Writer()	/* process 0 */
{
	byte head, tail, c, i;
	byte fresh;	/* chunks ever used: all the others are alike */
	byte own[NC];	/* chunk c: 0 free, else 1 + the sequence it carries or carried (limbo) */
	byte pins[NPIN];
	byte seen[NR];

	do
	:: atomic { head < M ->
		find_free();
		if
		:: head - tail < R && c < NC ->
			if
			:: own[0] == 0 -> c = 0
			:: own[1] == 0 && fresh >= 1 -> c = 1
			:: own[2] == 0 && fresh >= 2 -> c = 2
#if NC > 3
			:: own[3] == 0 && fresh >= 3 -> c = 3
#endif
#if NC > 4
			:: own[4] == 0 && fresh >= 4 -> c = 4
#endif
#if NC > 5
			:: own[5] == 0 && fresh >= 5 -> c = 5
#endif
			fi;
			fresh = (c == fresh -> fresh + 1 : fresh);
			own[c] = head + 1;
			store(0, CHUNK(c), head + 1);
			store(0, REF(head % R), c);
			store(0, SEQ(head % R), head + 1);
			head++;
			c = 0;
			goto next
		:: else -> c = 0
		fi
	   }
#ifdef MUT_PINS_FIRST
	   load_pins();
#endif
	   load_cursors();	/* acquire; partner: the reader's release of its cursor, after its pin */
	   atomic {
		i = seen[0];
#if NR > 1 && !defined(MUT_ONE_CURSOR)
		i = (seen[1] < i -> seen[1] : i);
#endif
		assert(i >= tail && i <= head);	/* for an honest reader; the C code clamps it */
		if
		:: i > tail -> tail = i; store(0, TAIL, tail)
		:: else
		fi;
		i = 0
	   }
#ifndef MUT_PINS_FIRST
	   load_pins();
#endif
	   atomic {
		c = 0;
		do
		:: c < NC ->
			if
			:: own[c] <= tail && !PINNED(own[c]) -> own[c] = 0
			:: else
			fi;
			c++
		:: else -> break
		od;
		i = 0;
		do
		:: i < NPIN -> pins[i] = 0; i++
		:: else -> break
		od;
		i = 0;
		find_free();
		if
		:: head - tail < R && c < NC -> c = 0
		:: else -> c = 0; CURSOR_MOVED
		fi;
		seen[0] = 0;
#if NR > 1
		seen[1] = 0
#endif
	   }
next:	   skip
	:: head == M -> break
	od
}

#if K > 1
#define NONE_HELD (held[0] == 0 && held[1] == 0)
#else
#define NONE_HELD (held[0] == 0)
#endif
#define READY (cur < M && mem[SEQ(cur % R)] == cur + 1)

proctype Reader(byte p; byte l)
{
	byte cur, k, t;
	byte held[K];	/* 0, or 1 + sequence of the sample under pin k */
	byte ref[K];

	do
	/* Release any sample. Its chunk is read at the last moment, see overrun.pml. */
	:: atomic { held[0] != 0 ->
		assert(mem[CHUNK(ref[0])] == held[0]);
		store(p, PIN(K * l), 0);
		held[0] = 0;
		ref[0] = 0
	   }
#if K > 1
	:: atomic { held[1] != 0 ->
		assert(mem[CHUNK(ref[1])] == held[1]);
		store(p, PIN(K * l + 1), 0);
		held[1] = 0;
		ref[1] = 0
	   }
#endif
	/* Take with any pin that is not in use. */
#if K > 1
	:: atomic { READY && !(held[0] != 0 && held[1] != 0) ->
		if
		:: held[0] == 0 -> k = 0
		:: held[1] == 0 -> k = 1
		fi
	   }
#else
	:: atomic { READY && held[0] == 0 -> k = 0 }
#endif
		atomic {
			load(p, REF(cur % R), ref[k]);
#ifndef MUT_CURSOR_FIRST
			store(p, PIN(K * l + k), cur + 1)
#endif
		}
		atomic {
			load(p, TAIL, t);
			assert(t <= cur);	/* a reliable lane is never lapped */
			t = 0;
			cur++;
			held[k] = cur;
			if
			:: store(p, CURSOR(l), cur)
#ifdef MUT_CURSOR_LATE
			:: skip
#else
			:: READY -> skip	/* later, more is ready */
#endif
			fi;
#ifdef MUT_CURSOR_FIRST
			store(p, PIN(K * l + k), cur);
#endif
			k = 0
		}
	:: cur == M && NONE_HELD -> break
	od
}

init {
	atomic {
		run Reader(1, 0);
#if NR > 1
		run Reader(2, 1);
#endif
	}
}

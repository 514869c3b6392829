/* SPDX-License-Identifier: MIT */
/*
 * Overrun of lossy readers: pin and tail.
 *
 * Mirrors: channel_writer_retire (the overrun part: tail, membarrier, scan of the pins, limbo) and
 * channel_writer_publish; channel_reader_take (chunk case) and channel_reader_release.
 *
 * Proven: a chunk that a reader has pinned and checked holds the message that its slot named until the pin
 * is taken back, for 1 and 2 readers; with a retire step of a quarter ring; with membarrier, with real
 * fences on both sides, and with one reader of each kind (FENCE_MASK). The writer never has to wait: it
 * always finds a chunk with DEPTH messages left in the ring, so that the promised history survives and a
 * pool of DEPTH + pins + 1 (the loan) is enough, whatever the readers do and wherever they stop or die.
 *
 * Abstracted, and why that is sound:
 *  - A chunk is one word, read at the last moment before release. Bigger chunks are more words, each with
 *    this same argument; contents are unique, so what an earlier read could find wrong, the last one does.
 *  - One pin per reader (K = 1): pins of one reader are words that are written and scanned independently.
 *    consumed.pml has K = 2.
 *  - A free chunk is picked at random: every allocation policy is covered. Chunks never used so far are
 *    alike, so only the first of them is a candidate.
 *  - A slot is two words, sequence and reference. `head` is left out, readers of chunks don't use it.
 *  - Pins are scanned once into private memory and all chunks are judged by that. Looking at the pin words
 *    again for each chunk (MUT_RESCAN) is safe for the data but breaks the pool size: a pin that moves
 *    during the scan keeps two chunks.
 *  - M messages of a sequence: enough that each slot and each chunk is used again, and that limbo is too.
 *
 * Parameters: NR readers, R slots, DEPTH, M messages, FENCE_MASK (bit l: reader l uses fences; MB_SET leaves
 * it out of the membarrier).
 * Mutations: MUT_NOBARRIER (neither fence nor membarrier), MUT_TAIL_LATE (tail stored after slot and chunk
 * are reused), MUT_TAIL_AFTER_SCAN, MUT_CHECK_FIRST (reader checks the tail before it pins), MUT_NOSCAN,
 * MUT_RESCAN.
 */

#ifndef NR
#define NR 1
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
#ifndef FENCE_MASK
#define FENCE_MASK 0
#endif
#define STEP (R / 4 + (R < 4))
#define NC (DEPTH + NR + 1)

#define NP (NR + 1)
#define TAIL 0
#define SEQ(i) (1 + (i))
#define REF(i) (1 + R + (i))
#define CHUNK(c) (1 + 2 * R + (c))
#define PIN(l) (1 + 2 * R + NC + (l))
#define NA (1 + 2 * R + NC + NR)

#if defined(MUT_NOSCAN)
#define PINNED(o) false
#elif NR > 1
#define PINNED(o) ((o) == pins[0] || (o) == pins[1])
#else
#define PINNED(o) ((o) == pins[0])
#endif

#include "tso.pml"

/* The first free chunk, or NC. */
inline find_free()
{
	c = 0;
	do
	:: c < NC && own[c] != 0 -> c++
	:: else -> break
	od
}

/* What nobody pins goes back to the free list, the rest is limbo until the next scan. */
inline free_unpinned()
{
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
	c = 0;
	i = 0;
	pins[0] = 0;
#if NR > 1
	pins[1] = 0
#endif
}

active proctype Writer()	/* process 0 */
{
	byte head, tail, c, i;
	byte fresh;	/* chunks ever used: all the others are alike */
	byte own[NC];	/* chunk c: 0 free, else 1 + the sequence it carries or carried (limbo) */
	byte pins[NR];

	do
	:: atomic { head < M ->
		/* Room in the ring and a chunk: publish. Else retire, one step of the tail. */
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
			fi;
			fresh = (c == fresh -> fresh + 1 : fresh);
			own[c] = head + 1;
			store(0, CHUNK(c), head + 1);
			store(0, REF(head % R), c);
			store(0, SEQ(head % R), head + 1);
			head++;
			c = 0;
#ifdef MUT_TAIL_LATE
			store(0, TAIL, tail);
#endif
			goto next
		:: else ->
			c = 0;
			/* The promised depth stays untouched, so what this frees must be enough. */
			assert(head - tail >= DEPTH + STEP);
			tail = tail + STEP;
#if !defined(MUT_TAIL_LATE) && !defined(MUT_TAIL_AFTER_SCAN)
			store(0, TAIL, tail)
#endif
		fi
	   }
#ifndef MUT_NOBARRIER
	   membarrier(0);	/* partner: the reader's compiler barrier between pin and tail */
#endif
#ifdef MUT_RESCAN
	   do
	   :: c < NC && i < NR -> atomic {
		load(0, PIN(i), pins[i]);
		if
		:: pins[i] == own[c] -> pins[i] = 0; i = 0; c++
		:: pins[i] != own[c] && i + 1 < NR -> pins[i] = 0; i++
		:: else ->
			pins[i] = 0;
			if
			:: own[c] <= tail -> own[c] = 0
			:: else
			fi;
			i = 0;
			c++
		fi
	      }
	   :: else -> c = 0; break
	   od;
#else
	   do
	   :: i < NR -> atomic {
		load(0, PIN(i), pins[i]);
		i++;
		if
		:: i == NR -> free_unpinned(); break
		:: else
		fi
	      }
	   od;
#endif
#ifdef MUT_TAIL_AFTER_SCAN
	   store(0, TAIL, tail);
#endif
next:	   skip
	:: head == M -> break
	od
}

proctype Reader(byte p; byte l)
{
	byte cur, ref, t;

	do
	/* The acquire load of the slot's sequence decides (a reader has no such store of its own). */
	:: atomic { cur < M && mem[SEQ(cur % R)] == cur + 1 -> skip };
		load(p, REF(cur % R), ref);
#ifdef MUT_CHECK_FIRST
		load(p, TAIL, t);
		store(p, PIN(l), cur + 1);
#else
		store(p, PIN(l), cur + 1);
#endif
		atomic {
#ifndef MUT_NOBARRIER
			/* A drain just before the load; Flush covers a drain long before it. */
			if
			:: (FENCE_MASK >> l) & 1 -> fence(p)
			:: else		/* compiler barrier; partner: the writer's membarrier */
			fi;
#endif
#ifndef MUT_CHECK_FIRST
			load(p, TAIL, t);
#endif
			if
			:: t > cur ->	/* lapped */
				ref = 0
			:: else ->
				t = 0
			fi
		}
		atomic {
			if
			:: t == 0 ->
				/*
				 * Read at the last moment before release: a chunk that was overwritten
				 * at any time since the check never holds this message again.
				 */
				assert(mem[CHUNK(ref)] == cur + 1);
				cur++
			:: else ->
				cur = t
			fi;
			store(p, PIN(l), 0);
			ref = 0;
			t = 0
		}
	:: atomic { cur < M && mem[SEQ(cur % R)] > cur + 1 -> skip };
		atomic {		/* lapped */
			load(p, TAIL, t);
#ifndef MUT_TAIL_LATE
			assert(t > cur);
#endif
			cur = (t > cur -> t : cur + 1);
			t = 0
		}
	:: cur == M -> break
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

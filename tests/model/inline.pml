/* SPDX-License-Identifier: MIT */
/*
 * Inline payload: a slot that is read as a seqlock whose version is the tail.
 *
 * Mirrors: channel_writer_retire (tail first), channel_writer_publish (slot, payload inside, sequence last)
 * and the loan of a slot's own payload area; channel_reader_take (inline case).
 *
 * Proven: what a reader copied out of a slot and then found at or above the tail is the whole message, no
 * mixture, without a barrier or a pin of any kind: the writer's stores stay in order, and so do the
 * reader's loads. True as well for a writer that fills the slot long before it publishes (a loan of the
 * slot's payload area): the tail moves when the slot is lent out, not when it is published. Every reader
 * reaches the last message.
 *
 * Abstracted, and why that is sound:
 *  - The payload is two words, copied in either order: any two words of a longer one.
 *  - Readers don't touch anything shared and so don't influence each other or the writer: one is enough.
 *  - No membarrier exists in this protocol, so only Flush ever drains a buffer, and storing the words of a
 *    loan in one step (Flush still takes them apart) leaves nothing out.
 *
 * Mutations: MUT_TAIL_LATE (stored after the slot is published again), MUT_TAIL_AT_PUBLISH (when the loan is
 * published, before the sequence), MUT_CHECK_FIRST (tail checked before the copy), MUT_SEQ_FIRST (sequence
 * stored before the payload).
 */

#ifndef R
#define R 2
#endif
#ifndef M
#define M 6
#endif
#define STEP (R / 4 + (R < 4))

#define NP 2
#define TAIL 0
#define SEQ(i) (1 + (i))
#define WORD0(i) (1 + R + (i))
#define WORD1(i) (1 + 2 * R + (i))
#define NA (1 + 3 * R)

#include "tso.pml"

active proctype Writer()	/* process 0 */
{
	byte head, tail;

	do
	:: head < M ->
		/* Loan: room first. */
		if
		:: atomic { head - tail == R ->
			tail = tail + STEP;
#if !defined(MUT_TAIL_LATE) && !defined(MUT_TAIL_AT_PUBLISH)
			store(0, TAIL, tail)
#endif
		   }
		:: head - tail < R
		fi;
#ifdef MUT_SEQ_FIRST
		store(0, SEQ(head % R), head + 1);
#endif
		/* The user fills the lent payload area. */
		store(0, WORD0(head % R), head + 1);
		store(0, WORD1(head % R), head + 1);
#ifdef MUT_TAIL_AT_PUBLISH
		store(0, TAIL, tail);
#endif
		/* Publish. */
#ifndef MUT_SEQ_FIRST
		store(0, SEQ(head % R), head + 1);
#endif
#ifdef MUT_TAIL_LATE
		store(0, TAIL, tail);
#endif
		head++
	:: head == M -> break
	od
}

active proctype Reader()	/* process 1 */
{
	byte cur, a, b, t;

	do
	:: atomic { cur < M && mem[SEQ(cur % R)] == cur + 1 -> skip };
#ifdef MUT_CHECK_FIRST
		load(1, TAIL, t);
#endif
		if
		:: load(1, WORD0(cur % R), a); load(1, WORD1(cur % R), b)
		:: load(1, WORD1(cur % R), b); load(1, WORD0(cur % R), a)
		fi;
		atomic {
#ifndef MUT_CHECK_FIRST
			load(1, TAIL, t);
#endif
			assert(t > cur || (a == cur + 1 && b == cur + 1));
			cur = (t > cur -> t : cur + 1);
			a = 0;
			b = 0;
			t = 0
		}
	:: atomic { cur < M && mem[SEQ(cur % R)] > cur + 1 -> skip };
		atomic {
			load(1, TAIL, t);
#if !defined(MUT_TAIL_LATE) && !defined(MUT_TAIL_AT_PUBLISH)
			assert(t > cur);
#endif
			cur = (t > cur -> t : cur + 1);
			t = 0
		}
	:: cur == M -> break
	od
}

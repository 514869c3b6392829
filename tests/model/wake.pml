/* SPDX-License-Identifier: MIT */
/*
 * Sleep and wake-up, in both directions.
 *
 * Mirrors: channel_reader_arm (ticket, membarrier, look again, sleep) against channel_writer_publish
 * (sequence, compiler barrier, ticket, ring); and channel_writer_arm (writer_ticket, membarrier, look at the
 * cursors again, sleep) against the cursor store in channel_reader_take (cursor, compiler barrier,
 * writer_ticket, ring). With LATE_ATTACH: channel_writer_attach of a reader that may already sleep.
 *
 * Proven: no wake-up is lost. A sleep has no timeout here, so a lost one ends as a deadlock, which spin
 * reports as an invalid end state; and all runs are finite, since each sleep has its own ticket and each
 * ticket is rung at most once by each side. Readers asleep (SLEEP_R), a writer on a full reliable ring
 * asleep (SLEEP_W), and both at once, with membarrier or with real fences (FENCE).
 *
 * Abstracted, and why that is sound:
 *  - An eventfd is one bit: sleepers read it empty, so counts above one are the same. It is the kernel's
 *    and sequentially consistent by itself, but writing it is not taken for a barrier, although it is one
 *    on every kernel we know.
 *  - The slow recheck of a blocked wait is left out: it would hide what is to be found.
 *  - Slots carry their sequence only, retiring is reading the cursors: data is the other models' subject.
 *  - One endpoint on each doorbell. A shared one only adds wake-ups for nothing, which are here as well: a
 *    ring for a ticket whose owner looked again and did not sleep stays in the eventfd for the next time.
 *  - A reader that does not sleep polls, as a wait for the slot to change (tso.pml). Without SLEEP_W the ring
 *    holds all messages, and there are no cursors.
 *
 * A reader that is not attached yet and sleeps is nobody's to ring. So the attach has to do what a publish
 * does after its sequence: compare the ticket with 0 and ring. Taking over the ticket as already rung
 * (MUT_ATTACH_QUIET), or leaving the comparison to the next publish (MUT_ATTACH_LAZY), loses the wake-up
 * for what was published before.
 *
 * Mutations: MUT_NOBARRIER, MUT_ONE_FENCE (a real fence on the rare side only), MUT_NO_RELOOK (sleep without
 * looking again), MUT_RELOOK_FIRST (look again before the ticket), MUT_CURSOR_UNSTORED (reader sleeps or
 * polls with a cursor not stored), MUT_ATTACH_QUIET, MUT_ATTACH_LAZY.
 */

#ifndef NR
#define NR 1
#endif
#ifndef M
#define M 3
#endif
#ifndef R
#ifdef SLEEP_W
#define R 1
#else
#define R M
#endif
#endif

#define NP (NR + 1)
#define WTICKET 0
#define SEQ(i) (1 + (i))
#define CURSOR(l) (1 + R + (l))
#define TICKET(l) (1 + R + NR + (l))
#define NA (1 + R + 2 * NR)

#include "tso.pml"

#if defined(MUT_NOBARRIER)
#define rare_barrier(p) skip
#define fast_barrier(p) skip
#elif defined(MUT_ONE_FENCE)
#define rare_barrier(p) fence(p)
#define fast_barrier(p) skip
#elif defined(FENCE)
#define rare_barrier(p) fence(p)
#define fast_barrier(p) fence(p)
#else
#define rare_barrier(p) membarrier(p)
#define fast_barrier(p) skip	/* a compiler barrier */
#endif

bool writer_bell;
bool bell[NR];

#if NR > 1
#define ROOM (head - seen[0] < R && head - seen[1] < R)
#else
#define ROOM (head - seen[0] < R)
#endif

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

/* What publish does for each attached lane after its barrier. */
inline ring_all()
{
	do
	:: i < NR && attached[i] ->
		atomic { load(0, TICKET(i), x) };
		if
		:: atomic { x != rung[i] -> rung[i] = x; bell[i] = true }
		:: x == rung[i]
		fi;
		atomic { x = 0; i++ }
	:: i < NR && !attached[i] -> i++
	:: i == NR -> i = 0; break
	od
}

active proctype Writer()	/* process 0 */
{
	byte head, ticket, i, x;
	byte seen[NR], rung[NR];
	bool attached[NR];

#ifndef LATE_ATTACH
	atomic {
		attached[0] = true;
#if NR > 1
		attached[1] = true
#endif
	}
#endif
	do
#ifdef LATE_ATTACH
	/* One lane only. The store to attached[] itself is attach.pml's subject. */
	:: atomic { !attached[0] -> attached[0] = true };
#if defined(MUT_ATTACH_QUIET)
		load(0, TICKET(0), rung[0])
#elif defined(MUT_ATTACH_LAZY)
		skip
#else
		fast_barrier(0);
		ring_all()
#endif
#endif
	:: head < M ->
#ifdef SLEEP_W
		load_cursors();
		do
		:: ROOM -> break
		:: else ->
#ifdef MUT_RELOOK_FIRST
			load_cursors();
#endif
			atomic { ticket++; store(0, WTICKET, ticket) };
			rare_barrier(0);	/* partner: the reader between cursor and writer_ticket */
#if !defined(MUT_NO_RELOOK) && !defined(MUT_RELOOK_FIRST)
			load_cursors();
#endif
			if
			:: ROOM
			:: else ->
				atomic { writer_bell -> writer_bell = false };
				load_cursors()
			fi
		od;
#endif
		atomic {
			seen[0] = 0;
#if NR > 1
			seen[1] = 0;
#endif
			store(0, SEQ(head % R), head + 1);
			head++
		}
		fast_barrier(0);	/* partner: the reader between ticket and second look */
		ring_all()
	:: head == M && attached[0] -> break
	od
}

proctype Reader(byte p; byte l)
{
	byte cur, ticket, rung, x;

	do
	:: cur < M ->
		load(p, SEQ(cur % R), x);
#ifdef SLEEP_R
		if
		:: x == cur + 1
		:: else ->
#ifdef MUT_RELOOK_FIRST
			load(p, SEQ(cur % R), x);
#endif
			atomic { ticket++; store(p, TICKET(l), ticket) };
			rare_barrier(p);	/* partner: the writer between sequence and ticket */
#if !defined(MUT_NO_RELOOK) && !defined(MUT_RELOOK_FIRST)
			load(p, SEQ(cur % R), x);
#endif
			if
			:: x == cur + 1
			:: else -> atomic { bell[l] -> bell[l] = false }
			fi
		fi;
#else
		mem[SEQ(cur % R)] == cur + 1;
		x = cur + 1;
#endif
		if
		:: x == cur + 1 ->
			cur++;
#ifdef SLEEP_W
			if
			:: store(p, CURSOR(l), cur);
				fast_barrier(p);	/* partner: the writer's look at the cursors */
				load(p, WTICKET, x);
				if
				:: atomic { x != rung -> rung = x; writer_bell = true }
				:: x == rung
				fi
#ifdef MUT_CURSOR_UNSTORED
			:: skip
#else
			/* Stored later, while more is ready. */
			:: cur < M && mem[SEQ(cur % R)] == cur + 1
#endif
			fi
#endif
		:: else
		fi;
		x = 0
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

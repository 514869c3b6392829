/* SPDX-License-Identifier: MIT */
/*
 * Events: counters that a listener collects, and the bell that it is woken by.
 *
 * Mirrors: counters_notify (counter, head, compiler barrier, ticket, interest, ring) against counters_collect (head, counters)
 * and the wait of a listener (ticket, membarrier, collect, sleep); channel_writer_attach of a listener that may already
 * sleep, with LATE_ATTACH; the end of a notifier at any step, with DIES.
 *
 * Proven: no event that was asked for is lost or counted twice, no wake-up for one is lost (a sleep has no timeout here, so
 * that a lost one is a deadlock), and nobody is rung for an event that he did not ask for. Of a notifier that dies, all
 * that it had completed is collected, and nothing that it had not begun.
 *
 * Abstracted: two ids, of which the listener has asked for ASKED; which comes when is open. One listener: another one has a
 * ticket, a bell and a memory of its own, and shares nothing that is written. A counter is read by nobody but collect.
 *
 * Mutations: MUT_NOBARRIER, MUT_NO_RELOOK (sleep without looking again), MUT_HEAD_FIRST (head before the counter),
 * MUT_COUNTER_FIRST (collect loads the counter before head), MUT_RUNG_ANYWAY (the ticket counts as rung for although the
 * event was none of those asked for), MUT_NO_INTEREST (rings for any event), MUT_ATTACH_LAZY (attach does not ring),
 * MUT_NO_LAST_LOOK (nothing is collected when the notifier has gone).
 */

#ifndef M
#define M 3		/* events that were asked for */
#endif
#ifndef OTHERS
#define OTHERS 2	/* and that were not */
#endif

#define NP 2
#define HEAD 0
#define COUNTER(id) (1 + (id))
#define TICKET 3
#define NA 4
#define ASKED 1

#include "tso.pml"

#if defined(MUT_NOBARRIER)
#define rare_barrier(p) skip
#define fast_barrier(p) skip
#elif defined(FENCE)
#define rare_barrier(p) fence(p)
#define fast_barrier(p) fence(p)
#else
#define rare_barrier(p) membarrier(p)
#define fast_barrier(p) skip	/* a compiler barrier */
#endif

bool bell, gone;
byte begun, completed;		/* of those asked for: what the assertions are about, no part of the protocol */

inline ring_for(id)
{
	load(0, TICKET, x);
	if
	:: x == rung
#if !defined(MUT_NO_INTEREST)
	:: x != rung && id != ASKED ->
#if defined(MUT_RUNG_ANYWAY)
		rung = x
#else
		skip
#endif
	:: x != rung && id == ASKED -> atomic { rung = x; bell = true }
#else
	:: x != rung -> atomic { assert(id == ASKED); rung = x; bell = true }
#endif
	fi;
	x = 0
}

active proctype Notifier()	/* process 0 */
{
	byte head, n[2], id, x, rung;
	bool attached;

#ifndef LATE_ATTACH
	attached = true;
#endif
	do
#ifdef LATE_ATTACH
	:: atomic { !attached -> attached = true };
#ifndef MUT_ATTACH_LAZY
		fast_barrier(0);
		ring_for(ASKED)
#endif
#endif
#ifdef DIES
	:: break
#endif
	:: n[ASKED] < M || n[1 - ASKED] < OTHERS ->
		if
		:: n[ASKED] < M -> id = ASKED; begun++
		:: n[1 - ASKED] < OTHERS -> id = 1 - ASKED
		fi;
		n[id]++;
		head++;
#ifdef MUT_HEAD_FIRST
		store(0, HEAD, head);
		store(0, COUNTER(id), n[id]);
#else
		store(0, COUNTER(id), n[id]);
#ifdef DIES
		if
		:: goto dead
		:: skip
		fi;
#endif
		store(0, HEAD, head);
#endif
		atomic { completed = completed + (id == ASKED) };
		fast_barrier(0);	/* partner: the listener between ticket and second look */
		if
		:: attached -> ring_for(id)
		:: else
		fi
	:: n[ASKED] == M && n[1 - ASKED] == OTHERS && attached -> break
	od;
dead:
#ifdef DIES
	/* the router tells, and the node's thread rings; what was stored has arrived by then */
	fence(0);
	atomic { gone = true; bell = true }
#endif
	skip
}

/* @got grows by what has happened since. */
inline collect()
{
#ifdef MUT_COUNTER_FIRST
	load(1, COUNTER(ASKED), c);
	load(1, HEAD, h);
	if
	:: h != seen_head -> atomic { seen_head = h; got = got + c - seen; seen = c }
	:: else
	fi;
#else
	load(1, HEAD, h);
	if
	:: h != seen_head ->
		seen_head = h;
		load(1, COUNTER(ASKED), c);
		atomic { got = got + c - seen; seen = c }
	:: else
	fi;
#endif
	atomic { h = 0; c = 0 }
}

active proctype Listener()	/* process 1 */
{
	byte got, seen, seen_head, before, ticket, h, c;

	do
	:: got < M && !gone ->
		collect();
		if
		:: got >= M -> break
		:: else
		fi;
		atomic { ticket++; store(1, TICKET, ticket) };
		rare_barrier(1);	/* partner: the notifier between head and ticket */
		before = got;
#ifndef MUT_NO_RELOOK
		collect();
#endif
		if
		:: got != before
		:: got == before -> atomic { bell -> bell = false }
		fi;
		before = 0
	:: got >= M || gone -> break
	od;
#ifdef DIES
	if
	:: gone ->
#ifndef MUT_NO_LAST_LOOK
		collect();
#endif
		assert(got >= completed)
	:: else
	fi;
	assert(got <= begun)
#else
	assert(got == M)
#endif
}

/* SPDX-License-Identifier: MIT */
/*
 * Attach, detach, reuse of a lane, and reading by copy before that.
 *
 * Mirrors: channel_writer_attach (and the detach beside it), channel_writer_retire, channel_writer_publish;
 * channel_reader_take by copy and by pin, channel_reader_release.
 *
 * There is one slot in attached[] and two readers that want it, generations 1 and 2. The writer picks who
 * is in it: it may attach anyone who has asked, detaches whom the router reports gone, and scans only the
 * pin of the reader that is in the slot. A reader copies until it sees its own generation in the slot, then
 * it pins. Either of them may leave or die at any point of a take, with its pin set.
 *
 * Proven: what a reader copied before it was attached, or holds after, is the message that it took; a reader
 * that is gone costs no chunk (the pool is DEPTH + one pin + one loan for two readers, and the writer never
 * waits); the slot changes hands without either generation trusting the other's scan. Both with a lane
 * page for each reader and with one page that both use one after the other (SAME_LANE).
 *
 * Abstracted, and why that is sound:
 *  - The control plane is two bits per reader, asked and gone, which the writer sees at any later time. A
 *    message through a socket, and the end of a process, are full barriers of the kernel, hence fence().
 *  - Death while copying changes nothing shared, so death is modelled at the points where a pin is or may
 *    be set, and between takes.
 *  - A copy is one word, loaded before the tail is: any word of a longer copy is.
 *  - A reader looks at attached[] when it likes: looking late only makes it copy longer.
 *  - Chunks, pins and slots as in overrun.pml. The fences are overrun.pml's subject: here membarrier only.
 *
 * Parameters: M messages, SAME_LANE, NO_ATTACH (nobody asks: reading by copy to the end).
 * Mutations: MUT_TAIL_LATE, MUT_CHECK_FIRST (tail checked before the copy), MUT_PIN_UNATTACHED (the reader trusts its pin before it is attached), MUT_NO_GEN
 * (any generation in the slot counts as the own one), MUT_SCAN_LATE (the writer publishes the generation,
 * but scans the lane only from the retire after next), MUT_DETACH_LIVE (detach of a reader that is still
 * there and told nothing: shows what an eviction does to a reader that holds a sample).
 */

#ifndef R
#define R 2
#endif
#ifndef DEPTH
#define DEPTH 1
#endif
#ifndef M
#define M 4
#endif
#define STEP (R / 4 + (R < 4))
#define NC (DEPTH + 1 + 1)

#define NP 3
#define TAIL 0
#define ATTACHED 1
#define SEQ(i) (2 + (i))
#define REF(i) (2 + R + (i))
#define CHUNK(c) (2 + 2 * R + (c))
#ifdef SAME_LANE
#define PIN(g) (2 + 2 * R + NC)
#else
#define PIN(g) (2 + 2 * R + NC + (g) - 1)
#endif
#define NA (2 + 2 * R + NC + 2)

#include "tso.pml"

bool asked[3], gone[3];	/* by generation */

active proctype Writer()	/* process 0 */
{
	byte head, tail, c, pin;
	byte fresh;	/* chunks ever used: all the others are alike */
	byte own[NC];	/* chunk c: 0 free, else 1 + the sequence it carries or carried (limbo) */
	byte att;	/* generation in the slot, private copy */
	byte scan;	/* generation whose pin is scanned: the same, but for the mutation */

	do
	:: atomic { head < M && att == 0 && asked[1] && !gone[1] -> att = 1; store(0, ATTACHED, 1) }
	:: atomic { head < M && att == 0 && asked[2] && !gone[2] -> att = 2; store(0, ATTACHED, 2) }
#ifdef MUT_DETACH_LIVE
	:: atomic { att == 1 -> att = 0; store(0, ATTACHED, 0) }
#else
	:: atomic { head < M && att != 0 && gone[att] -> att = 0; store(0, ATTACHED, 0) }
#endif
	:: atomic { head < M ->
#ifndef MUT_SCAN_LATE
		scan = att;
#endif
		do
		:: c < NC && own[c] != 0 -> c++
		:: else -> break
		od;
		if
		:: head - tail < R && c < NC ->
			if
			:: own[0] == 0 -> c = 0
			:: own[1] == 0 && fresh >= 1 -> c = 1
			:: own[2] == 0 && fresh >= 2 -> c = 2
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
			assert(head - tail >= DEPTH + STEP);
			tail = tail + STEP;
#ifndef MUT_TAIL_LATE
			store(0, TAIL, tail)
#endif
		fi
	   }
	   membarrier(0);
	   atomic {
		if
		:: scan != 0 -> load(0, PIN(scan), pin)
		:: else
		fi;
		do
		:: c < NC ->
			if
			:: own[c] <= tail && own[c] != pin -> own[c] = 0
			:: else
			fi;
			c++
		:: else -> break
		od;
		c = 0;
		pin = 0;
		scan = 0;
#ifdef MUT_SCAN_LATE
		scan = att
#endif
	   }
next:	   skip
	:: head == M -> break
	od
}

/* The end of a process or of an attachment, as the kernel and the router make it known. */
inline leave()
{
	fence(p);
	gone[g] = true
}

proctype Reader(byte p; byte g)
{
	byte cur, ref, t, v;
	bool attached;

#ifdef SAME_LANE
	if
	:: g == 2 -> gone[1]	/* the page has one owner at a time */
	:: else
	fi;
#endif
#ifndef NO_ATTACH
	atomic { store(p, PIN(g), 0); fence(p); asked[g] = true }
#endif
#ifdef MUT_PIN_UNATTACHED
	attached = true;
#endif
	do
#ifdef MUT_NO_GEN
	:: atomic { !attached && mem[ATTACHED] != 0 -> attached = true }
#else
	:: atomic { !attached && mem[ATTACHED] == g -> attached = true }
#endif
	:: atomic { cur < M && !attached && mem[SEQ(cur % R)] == cur + 1 -> skip };
#ifdef MUT_CHECK_FIRST
		load(p, TAIL, t);
#endif
		load(p, REF(cur % R), ref);
		load(p, CHUNK(ref), v);
		atomic {
#ifndef MUT_CHECK_FIRST
			load(p, TAIL, t);
#endif
			assert(t > cur || v == cur + 1);
			cur = (t > cur -> t : cur + 1);
			ref = 0;
			v = 0;
			t = 0
		}
	:: atomic { cur < M && attached && mem[SEQ(cur % R)] == cur + 1 -> skip };
		load(p, REF(cur % R), ref);
		store(p, PIN(g), cur + 1);
		if
		:: load(p, TAIL, t)
		:: goto away
		fi;
		atomic {
			if
			:: t <= cur ->
				if
				:: assert(mem[CHUNK(ref)] == cur + 1)
				:: goto away
				fi;
				cur++
			:: else ->
				cur = t
			fi;
			store(p, PIN(g), 0);
			ref = 0;
			t = 0
		}
	:: atomic { cur < M && mem[SEQ(cur % R)] > cur + 1 -> skip };
		atomic {
			load(p, TAIL, t);
#ifndef MUT_TAIL_LATE
			assert(t > cur);
#endif
			cur = (t > cur -> t : cur + 1);
			t = 0
		}
	:: break
	od;
away:
	atomic { leave(); cur = 0; ref = 0; t = 0; v = 0; attached = false }
}

init {
	atomic {
		run Reader(1, 1);
		run Reader(2, 2);
	}
}

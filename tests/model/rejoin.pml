/* SPDX-License-Identifier: MIT */
/*
 * A publisher and a subscriber that come back to a router which was killed.
 *
 * Mirrors: src/router/rejoin.c and claim.c (what two claims, or a claim and its absence, mean), src/router/match.c
 * (offer, lane chosen), src/lib/rejoin.c and endpoint_added/endpoint_gone with n_expected.
 *
 * The subscriber was there before the publisher opened, and the topic is reliable. The router may be killed CRASHES
 * times between any two steps. What a node sent to it and it had not read is lost; what it had sent can still be read, then
 * the connection ends, and the node comes back whenever it likes, the two in any order. The subscriber may die once, at any
 * moment, joined or not.
 *
 * Proven: from the moment the publisher's open succeeded, as long as the subscriber lives, the publisher either has its
 * lane or expects one, so nothing counts as consumed that the subscriber has not seen; a lane is never taken away from a
 * subscriber that lives; in the end both are connected by the same match and nothing is expected, or the subscriber is
 * dead and the publisher has let it go.
 *
 * Abstracted, and why that is sound:
 *  - The grace after which a router gives up on subscribers that a publisher expects passes only for a dead one: a process
 *    that stands still for longer than that is outside of the promise.
 *  - An open that had not succeeded when the router was killed is a new open at the next one: nothing to prove here.
 *  - Other endpoints, quotas, descriptors: a refusal ends a match at both ends and is match.c's subject.
 *
 * Mutations: MUT_FORGET_EXPECTED (who comes back expects only what the new router already knows), MUT_GONE_EARLY
 * (a claim whose other end is not there is taken for one whose end is gone), MUT_LANE_LOST (what only the subscriber
 * claims is taken as settled), MUT_NEW_MATCH (the router offers a new match instead of waiting for the claim),
 * MUT_FORGET_LIVE (a publisher that disconnects expects nothing).
 */

#ifndef CRASHES
#define CRASHES 2
#endif

mtype = { OPEN, READY, RESUME, RESUMED, OFFER, CHOSEN, LANE, GONE, END };

chan p2r = [4] of { mtype, byte, byte };	/* message, match, count */
chan s2r = [4] of { mtype, byte, byte };
chan r2p = [6] of { mtype, byte, byte };
chan r2s = [6] of { mtype, byte, byte };

byte life = 1;			/* of the router; 0 while none runs */
byte crashes, max_crashes;
bool may_die;			/* the subscriber will die, at some time */
bool chosen;
byte next_match = 1;		/* never reused, not by two routers either */

/* the subscriber */
bool s_alive = true;
bool s_joined = true;		/* the connection, as the router sees it */
byte s_lane;			/* the match it has a lane for */

/* the publisher */
bool p_open;			/* its open succeeded */
bool p_joined = true;
byte p_lane, p_expected;

/* the router's memory */
bool pj, sj = true;		/* complete: all claims are said */
byte match;			/* 0: none */
bool live;
byte p_claim, s_claim;		/* whose other end is not here yet */
byte left;			/* subscribers the publisher still expects and that we have not seen */

inline send_p(message, m, n) { if :: p_joined -> r2p!message, m, n :: else fi }
inline send_s(message, m, n) { if :: s_joined -> r2s!message, m, n :: else fi }

inline promise()
{
	assert(!p_open || !s_alive || p_lane || p_expected)
}

inline offer()
{
	match = next_match;
	next_match++;
	live = false;
	if
	:: left -> left--
	:: else
	fi;
	send_s(OFFER, match, 0)
}

inline make_live(m)
{
	match = m;
	live = true
}

/* the publisher gets a lane it did not know of */
inline send_lane(m)
{
	make_live(m);
	if
	:: left -> left--
	:: else
	fi;
#ifndef MUT_LANE_LOST
	send_p(LANE, m, 0)
#endif
}

inline pair_if_none()
{
	if
	:: pj && sj && !match && !p_claim && !s_claim -> offer()
	:: else
	fi
}

inline s_resumes(claim)
{
	sj = true;
	if
	:: claim && p_claim == claim -> p_claim = 0; make_live(claim)
	:: claim && p_claim != claim && pj -> send_lane(claim)
	:: claim && p_claim != claim && !pj ->
#ifdef MUT_NEW_MATCH
		skip
#else
		s_claim = claim
#endif
	:: !claim && p_claim -> send_p(GONE, p_claim, 0); p_claim = 0
	:: else
	fi;
	pair_if_none()
}

inline p_resumes(claim, n)
{
	pj = true;
#ifdef MUT_FORGET_EXPECTED
	left = 0;
#else
	left = n;
#endif
	send_p(RESUMED, 0, left);
	if
	:: claim && s_claim == claim -> s_claim = 0; make_live(claim)
	:: claim && s_claim != claim && sj -> send_p(GONE, claim, 0)
	:: claim && s_claim != claim && !sj ->
#ifdef MUT_GONE_EARLY
		send_p(GONE, claim, 0)
#else
		p_claim = claim
#endif
	:: !claim && s_claim -> send_lane(s_claim); s_claim = 0
	:: else
	fi;
	pair_if_none()
}

/* the subscriber's process is dead, and a detector says so */
inline s_is_dead()
{
	sj = false;
	s_joined = false;
	if
	:: match -> send_p(GONE, match, 0); match = 0; live = false
	:: else
	fi;
	if
	:: p_claim -> send_p(GONE, p_claim, 0); p_claim = 0
	:: else
	fi;
	s_claim = 0;
	if
	:: left -> left--; send_p(GONE, 0, 0)	/* the grace is over */
	:: else
	fi
}

active proctype router()
{
	byte m, n;

	chosen;
end:
	do
	:: atomic { life && p2r?[OPEN, m, n] -> p2r?OPEN, m, n;
		pj = true;
		if
		:: sj -> send_p(READY, 0, 1); offer()
		:: else -> send_p(READY, 0, 0)
		fi }
	:: atomic { life && p2r?[RESUME, m, n] -> p2r?RESUME, m, n; p_resumes(m, n) }
	:: atomic { life && s2r?[RESUME, m, n] -> s2r?RESUME, m, n; s_resumes(m) }
	:: atomic { life && s2r?[CHOSEN, m, n] -> s2r?CHOSEN, m, n;
		if
		:: m == match && !live -> live = true; send_p(LANE, m, 0)
		:: else
		fi }
	:: atomic { life && !s_alive && (sj || s_joined || match || p_claim || s_claim || left) -> s_is_dead() }
	:: atomic { life && crashes < max_crashes ->
		crashes++;
		if
		:: p_joined -> r2p!END, 0, 0
		:: else
		fi;
		if
		:: s_joined -> r2s!END, 0, 0
		:: else
		fi;
		p_joined = false; s_joined = false;
		do :: p2r?_, _, _ :: s2r?_, _, _ :: empty(p2r) && empty(s2r) -> break od;
		pj = false; sj = false; match = 0; live = false; p_claim = 0; s_claim = 0; left = 0;
		life = 0 }
	:: atomic { !life -> life = 1 }
	od
}

active proctype publisher()
{
	byte m, n;
	bool connected = true;

	chosen;
	p2r!OPEN, 0, 0;
end:
	do
	:: atomic { r2p?READY, m, n -> p_open = true; p_expected = n; promise() }
	:: atomic { r2p?RESUMED, m, n -> p_expected = n; promise() }
	:: atomic { r2p?LANE, m, n ->
		if
		:: p_lane == m
		:: else ->
			p_lane = m;
			if
			:: p_expected -> p_expected--
			:: else
			fi
		fi;
		promise() }
	:: atomic { r2p?GONE, m, n ->
		assert(!s_alive || p_lane != m || s_lane != m);
		if
		:: m && p_lane == m -> p_lane = 0
		:: else ->
			if
			:: p_expected -> p_expected--
			:: else
			fi
		fi;
		promise() }
	:: atomic { r2p?END, m, n ->
		connected = false;
#ifdef MUT_FORGET_LIVE
		p_expected = 0;
		promise();
#endif
		if
		:: p_open
		:: else -> break	/* the open failed: whoever called it opens anew */
		fi }
	:: atomic { !connected && life -> connected = true; p_joined = true; p2r!RESUME, p_lane, p_expected }
	od
}

active proctype subscriber()
{
	byte m, n;
	bool connected = true;

	chosen;
end:
	do
	:: atomic { s_alive && r2s?[OFFER, m, n] -> r2s?OFFER, m, n;
		s_lane = m;
		if
		:: s_joined -> s2r!CHOSEN, m, 0
		:: else
		fi }
	:: atomic { s_alive && r2s?[GONE, m, n] -> r2s?GONE, m, n; assert(false) }
	:: atomic { s_alive && r2s?[END, m, n] -> r2s?END, m, n; connected = false }
	:: atomic { s_alive && !connected && life -> connected = true; s_joined = true; s2r!RESUME, s_lane, 0 }
	:: atomic { s_alive && may_die -> s_alive = false; do :: r2s?_, _, _ :: empty(r2s) -> break od; break }
	od
}

/* nothing moves any more: by then everything is as it should be */
active proctype judge()
{
	atomic {
		if :: may_die = true :: may_die = false fi;
		do :: max_crashes < CRASHES -> max_crashes++ :: break od;
		chosen = true
	}
	timeout;
	assert(!p_open || !s_alive || (p_lane && p_lane == s_lane && !p_expected));
	assert(!p_open || s_alive || (!p_lane && !p_expected))
}

/* SPDX-License-Identifier: MIT */
/*
 * The life of a request: sent, and ended by its last response, by the end of its server, or by time.
 *
 * Mirrors: src/lib/client-take.c (the table of what is under way, client_take_new(), end_one()), src/lib/exchange.c
 * (exchange_drained(): a connection ends when its lane is drained and its writer gone), src/lib/server.c (answer()).
 *
 * A client sends N requests with K entries for what is under way: an entry is used again as soon as its request has ended,
 * and an id says the entry and the how-manieth request it is. The server answers in any order, what it has got between the
 * two as well; each request once, or twice (the first with MORE), or never. It may die between any two steps. The news that it
 * is gone comes by another way than the responses, and any time later. A request may have a deadline, which passes
 * whenever it likes; what is answered afterwards is a late response. With LIAR, another server the client is connected
 * with answers questions that it was not asked.
 *
 * Proven: every request ends exactly once, unless its server lives, does not answer, and no deadline was wanted; a
 * response is given to the request that it answers; -EPIPE comes only when everything the server said before it died has
 * been taken; nothing comes after the end.
 *
 * Abstracted, and why that is sound:
 *  - Channels are queues: that a lane delivers what was published, in order, is what the other models are about.
 *  - The client sleeps while there is nothing to take. That it is woken is wake.pml.
 *  - A server that cannot write waits for room: whether it gives up is its own choice, and then it is one that never answers.
 *
 * Mutations: MUT_NO_GEN (an id is the entry alone), MUT_UNDRAINED (the connection ends when its writer is gone, whatever is
 * in the lane), MUT_NEWS_LAST (the lane was found empty before the news were looked at), MUT_FREE_AT_MORE (any response
 * ends its request), MUT_NO_DEADLINE (take does not look at the time), MUT_TWICE (what has ended by time ends again with
 * its server), MUT_ANY_SERVER (a response is accepted from whichever server).
 */

#ifndef N
#define N 3	/* requests */
#endif
#ifndef K
#define K 2	/* entries */
#endif

#define NOBODY 255

chan requests = [N] of { byte, byte };		/* id, number */
chan responses = [3] of { byte, bool, byte };	/* id, whether there is more, number of what it answers */
chan lies = [1] of { byte, bool, byte };

bool alive = true, news;			/* the server; the router's word that it is not */

/* the client's table */
byte id[K];					/* 0: free */
byte number[K];					/* of the request, which only the proof knows */
byte n_sent;
bool ended;					/* the connection */

/* what became of each request */
bool has_deadline[N], late[N], silent[N];
byte n_ends[N], n_written[N], n_taken[N];
bool last_written[N];

#define is_free(i) (id[i] == 0)
#define is_late(i) (id[i] && late[number[i]])
#define is_broken(i) (id[i] && ended)

#ifdef MUT_NO_DEADLINE
#define may_end(i) is_broken(i)
#else
#define may_end(i) (is_broken(i) || is_late(i))
#endif

#if K == 1
#define any(what) what(0)
#else
#define any(what) (what(0) || what(1))
#endif

inline send(i)
{
	number[i] = n_sent;
	n_sent++;
#ifdef MUT_NO_GEN
	id[i] = K + i;
#else
	id[i] = n_sent * K + i;
#endif
	if
	:: has_deadline[number[i]] = true
	:: true
	fi;
	requests!id[i], number[i]
}

/* The user hears the end of what is in entry i. */
inline end_entry(i)
{
	n_ends[number[i]]++;
	assert(n_ends[number[i]] == 1);
	/* of no meaning any more: fewer states */
	has_deadline[number[i]] = false;
	late[number[i]] = false;
	silent[number[i]] = false;
	last_written[number[i]] = false;
	n_taken[number[i]] = 0;
	number[i] = 0;
	id[i] = 0
}

/* A response to what is under way. Everything else is dropped. */
inline accept(from_server, the_id, more, answers)
{
	i = the_id % K;
	if
#ifdef MUT_ANY_SERVER
	:: id[i] == the_id ->
#else
	:: id[i] == the_id && from_server ->
#endif
		assert(answers == number[i]);
		assert(!n_ends[answers]);
		n_taken[answers]++;
#ifdef MUT_FREE_AT_MORE
		id[i] = 0;
		if
		:: !more -> n_ends[answers]++
		:: else
		fi
#else
		if
		:: !more -> end_entry(i)
		:: else
		fi
#endif
	:: else
	fi
}

/* The first one that is broken or late. */
inline end_one()
{
	i = 0;
	do
	:: i < K && !may_end(i) -> i++
	:: i < K && may_end(i) ->
		if
		:: ended ->
			/* nothing that it said is left unread */
			assert(n_taken[number[i]] == n_written[number[i]]);
			assert(!last_written[number[i]]);
			end_entry(i)
		:: else ->
#ifdef MUT_TWICE
			n_ends[number[i]]++;
			late[number[i]] = false
#else
			end_entry(i)
#endif
		fi;
		break
	:: i == K -> break
	od;
	i = 0
}

active proctype client()
{
	byte the_id, answers, i;
	bool more, looked;	/* at the news, or with MUT_NEWS_LAST at the lane, which is the first step of two */

end:
	do
	:: atomic { !(n_sent == N || ended) && any(is_free) ->
		if
		:: is_free(0) -> send(0)
#if K > 1
		:: is_free(1) -> send(1)
#endif
		fi }
	:: nempty(responses) || nempty(lies) || (news && !ended) || any(may_end) ->
#ifdef MUT_NEWS_LAST
		looked = empty(responses);
#else
		looked = news;
#endif
		atomic {
			if
#ifdef MUT_NEWS_LAST
			:: !looked ->
#else
			:: nempty(responses) ->
#endif
				responses?the_id, more, answers; accept(true, the_id, more, answers)
			:: nempty(lies) -> lies?the_id, more, answers; accept(false, the_id, more, answers)
#ifdef MUT_UNDRAINED
			:: looked -> ended = true; end_one()
#endif
#ifdef MUT_NEWS_LAST
			:: looked && empty(lies) -> ended = ended || news; end_one()
#else
			:: empty(responses) && empty(lies) -> ended = ended || looked; end_one()
#endif
			fi;
			the_id = 0; answers = 0; more = false; looked = false; i = 0
		}
	od
}

inline write(more)
{
	nfull(responses) -> responses!the_id, more, asked;
	n_written[asked]++;
	last_written[asked] = !more && !n_ends[asked]
}

active proctype server()
{
	byte the_id, asked;

end:
	do
	:: atomic { alive && nempty(requests) && nfull(responses) -> requests?the_id, asked;
		if
		:: nempty(requests) -> requests!the_id, asked	/* another one first */
		:: write(false)
		:: !n_written[asked] -> write(true); requests!the_id, asked
		:: silent[asked] = !n_ends[asked]
		fi;
		the_id = 0; asked = 0 }
	od
}

/* It may die, and the others hear so. */
active proctype router()
{
	if
	:: alive = false; news = true
	:: true
	fi
}

#define passes(k) atomic { has_deadline[k] && !late[k] && !n_ends[k] -> late[k] = true }

active proctype clock()
{
end:
	do
	:: passes(0)
#if N > 1
	:: passes(1)
#endif
#if N > 2
	:: passes(2)
#endif
	od
}

#ifdef LIAR
active proctype liar()
{
	byte the_id = K;

	do
	:: the_id < (N + 1) * K -> the_id++
	:: nfull(lies) -> lies!the_id, false, NOBODY; break
	:: break
	od
}
#endif

/* Nothing moves any more: all has ended but what nobody wants to end. */
active proctype judge()
{
	byte k;

	timeout;
	do
	:: k < n_sent ->
		assert(n_ends[k] == 1 || (!n_ends[k] && alive && silent[k] && !has_deadline[k]));
		k++
	:: else -> break
	od
}

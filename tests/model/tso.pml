/* SPDX-License-Identifier: MIT */
/*
 * A machine with store buffers, for the models of the channel.
 *
 * Dekker's pattern (store mine, load yours) is right under sequential consistency without any barrier, so
 * a plain Promela model of it proves nothing. Here each process has the FIFO store buffer of x86-TSO
 * (Owens, Sarkar, Sewell: "A better x86 memory model: x86-TSO", 2009):
 *
 *  - store() appends to the own buffer and nobody else sees it yet;
 *  - load() takes the newest own buffered value of that address, else memory;
 *  - the process Flush moves the oldest entry of any buffer to memory, at any time;
 *  - fence() waits until the own buffer is empty (mfence, or any locked instruction);
 *  - membarrier() is membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED): between its begin and its end every
 *    registered process passes a full barrier, each at an instant of its own and in any order; the caller
 *    passes one at the start. An interrupt arrives between two instructions of the other process, which is
 *    just what an atomic step here is. This is weaker than draining all buffers in a single instant, and
 *    includes it. MB_SET is the set of registered processes (bit p = process p).
 *
 * A drain in one step loses no behaviour: its intermediate states are the ones Flush can produce before.
 *
 * Compiler barriers, and C11 release and acquire, are no steps of the machine: processes execute in program
 * order, x86-TSO keeps load-load, load-store and store-store order, and what a compiler may do is fixed by
 * the C code. The models therefore say nothing about Arm's reordering; there release and acquire stand
 * for the orders that TSO gives by itself, and the litmus and torture tests are what checks them.
 *
 * A bounded buffer (SB entries, store() waits when it is full) has fewer behaviours than an unbounded one.
 * Three hold a whole publish or take, more than lies between the two halves of any Dekker pair of the
 * channel; run-models -x goes deeper.
 *
 * Rules for the models, which keep the state space small and lose nothing:
 *  - Everything shared lives in mem[]. An atomic step has at most one load, and local computation.
 *  - A store joins its neighbours in one atomic step only where no other process' membarrier can reach this
 *    buffer: then Flush alone decides when others see it, and still takes the step's stores apart. (Where a
 *    membarrier can come between two instructions, each of them is a step.) An atomic step that finds the
 *    buffer full waits in the middle and lets others run.
 *  - A process that polls waits for the polled word to change in memory. A failed poll changes nothing,
 *    so leaving those out hides no error, and turns a wait for ever into a deadlock, which spin reports.
 *
 * No partial order reduction is used (run-models compiles with -DNOREDUCE), so its conditions on d_step,
 * atomic and global arrays need no argument.
 *
 * Define before the inclusion: NP (processes, 2 or 3), NA (addresses).
 */

#ifndef SB
#define SB 3
#endif
#ifndef MB_SET
#define MB_SET 7
#endif

typedef store_buffer {
	byte n;		/* entries in use; entry 0 is the oldest */
	byte a[SB];
	byte v[SB];
	byte todo	/* processes that the membarrier of this one has not reached yet */
};

store_buffer sb[NP];
byte mem[NA];
hidden byte sb_i;	/* scratch inside of a d_step only: no part of the state */

/* The parts that belong inside a d_step. Unused entries are zeroed, so that equal states look equal. */
inline sb_pop(q)
{
	mem[sb[q].a[0]] = sb[q].v[0];
	sb[q].n--;
	sb_i = 0;
	do
	:: sb_i < sb[q].n ->
		sb[q].a[sb_i] = sb[q].a[sb_i + 1];
		sb[q].v[sb_i] = sb[q].v[sb_i + 1];
		sb_i++
	:: else -> break
	od;
	sb[q].a[sb_i] = 0;
	sb[q].v[sb_i] = 0
}

inline sb_drain(q)
{
	do
	:: sb[q].n > 0 -> sb_pop(q)
	:: else -> break
	od
}

inline store(p, addr, val)
{
	d_step {
		sb[p].n < SB ->
		sb[p].a[sb[p].n] = (addr);
		sb[p].v[sb[p].n] = (val);
		sb[p].n++
	}
}

inline load(p, addr, dst)
{
	d_step {
		dst = mem[addr];
		sb_i = 0;
		do
		:: sb_i < sb[p].n ->
			if
			:: sb[p].a[sb_i] == (addr) -> dst = sb[p].v[sb_i]
			:: else
			fi;
			sb_i++
		:: else -> break
		od;
		sb_i = 0
	}
}

inline fence(p)
{
	d_step { sb_drain(p); sb_i = 0 }
}

inline membarrier(p)
{
	d_step {
		sb_drain(p);
		sb[p].todo = MB_SET & ((1 << NP) - 1) & (7 - (1 << p))
	}
	do
	:: d_step { (sb[p].todo & 1) != 0 -> sb_drain(0); sb[p].todo = sb[p].todo - 1 }
	:: d_step { (sb[p].todo & 2) != 0 -> sb_drain(1); sb[p].todo = sb[p].todo - 2 }
#if NP > 2
	:: d_step { (sb[p].todo & 4) != 0 -> sb_drain(2); sb[p].todo = sb[p].todo - 4 }
#endif
	:: sb[p].todo == 0 -> break
	od
}

active proctype Flush()
{
end:
	do
	:: d_step { sb[0].n > 0 -> sb_pop(0); sb_i = 0 }
	:: d_step { sb[1].n > 0 -> sb_pop(1); sb_i = 0 }
#if NP > 2
	:: d_step { sb[2].n > 0 -> sb_pop(2); sb_i = 0 }
#endif
	od
}

/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * trace-scheduler.bpf.h - what a thread that leaves the processor does next
 */
#ifndef ZCP_BPF_TRACE_SCHEDULER_H
#define ZCP_BPF_TRACE_SCHEDULER_H

#include "trace-common.bpf.h"

/* include/linux/sched.h */
#define STATE_STOPPED 0x4u
#define STATE_TRACED 0x8u
#define STATE_FROZEN 0x8000u

static __always_inline unsigned int raw_state(struct task_struct *task)
{
	if (bpf_core_field_exists(task->__state))
		return BPF_CORE_READ(task, __state);
	return (unsigned int)BPF_CORE_READ((struct task_struct___old *)task, state);
}

/* One that is preempted may have begun to go to sleep, and is still runnable. */
static __always_inline enum trace_state state_after(bool preempted, struct task_struct *task)
{
	unsigned int raw = raw_state(task);

	if (preempted || !raw)
		return TRACE_RUNNABLE;
	return raw & (STATE_STOPPED | STATE_TRACED | STATE_FROZEN) ? TRACE_STOPPED : TRACE_BLOCKED;
}

#endif

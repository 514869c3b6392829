# SPDX-License-Identifier: MIT
# BPF programs. clang compiles X.bpf.c for the bpf target, bpftool wraps the object in a header, the skeleton X.skel.h,
# that carries it inside the program which loads it. Skeletons are built, neither committed nor distributed.

noinst_HEADERS += bpf/exit.h bpf/trace.h bpf/trace-common.bpf.h bpf/trace-histogram.bpf.h bpf/trace-scheduler.bpf.h
EXTRA_DIST += \
	bpf/exit.bpf.c \
	bpf/trace-drops.bpf.c \
	bpf/trace-events.bpf.c \
	bpf/trace-exits.bpf.c \
	bpf/trace-flow.bpf.c \
	bpf/trace-wakeups.bpf.c

if HAVE_BPF
BPF_CPPFLAGS = -I$(srcdir)/bpf -idirafter $(BPF_ASM_DIR)

bpf/exit.bpf.o: bpf/exit.bpf.c bpf/exit.h
	$(AM_V_at)$(MKDIR_P) bpf
	$(AM_V_GEN)$(BPF_CLANG) -target bpf -O2 -g -Wall -Werror $(BPF_CPPFLAGS) -c $(srcdir)/bpf/exit.bpf.c -o $@

bpf/exit.skel.h: bpf/exit.bpf.o
	$(AM_V_GEN)$(BPFTOOL) gen skeleton bpf/exit.bpf.o name exit_bpf_skel > $@.tmp && mv $@.tmp $@

# By a variable: automake takes a target that it knows for a rule in place of its own.
exit_bpf_object = src/router/libzcp_router_la-exit-bpf.lo
$(exit_bpf_object): bpf/exit.skel.h
CLEANFILES += bpf/exit.bpf.o bpf/exit.skel.h bpf/exit.skel.h.tmp

# Those of zcp-trace. They read registers of the host, and add atomically with a result (-mcpu=v3, Linux 5.12).
BPF_TRACE = $(BPF_CLANG) -target bpf -mcpu=v3 -D__TARGET_ARCH_$(BPF_ARCH) -O2 -g -Wall -Werror $(BPF_CPPFLAGS)
trace_headers = bpf/trace.h bpf/trace-common.bpf.h bpf/trace-histogram.bpf.h bpf/trace-scheduler.bpf.h

bpf/trace-drops.bpf.o: bpf/trace-drops.bpf.c $(trace_headers)
	$(AM_V_at)$(MKDIR_P) bpf
	$(AM_V_GEN)$(BPF_TRACE) -c $(srcdir)/bpf/trace-drops.bpf.c -o $@
bpf/trace-drops.skel.h: bpf/trace-drops.bpf.o
	$(AM_V_GEN)$(BPFTOOL) gen skeleton bpf/trace-drops.bpf.o name trace_drops_bpf > $@.tmp && mv $@.tmp $@
trace_drops_object = src/tools/zcp_trace-trace-drops.$(OBJEXT)
$(trace_drops_object): bpf/trace-drops.skel.h
CLEANFILES += bpf/trace-drops.bpf.o bpf/trace-drops.skel.h bpf/trace-drops.skel.h.tmp

bpf/trace-events.bpf.o: bpf/trace-events.bpf.c $(trace_headers)
	$(AM_V_at)$(MKDIR_P) bpf
	$(AM_V_GEN)$(BPF_TRACE) -c $(srcdir)/bpf/trace-events.bpf.c -o $@
bpf/trace-events.skel.h: bpf/trace-events.bpf.o
	$(AM_V_GEN)$(BPFTOOL) gen skeleton bpf/trace-events.bpf.o name trace_events_bpf > $@.tmp && mv $@.tmp $@
trace_events_object = src/tools/zcp_trace-trace-events.$(OBJEXT)
$(trace_events_object): bpf/trace-events.skel.h
CLEANFILES += bpf/trace-events.bpf.o bpf/trace-events.skel.h bpf/trace-events.skel.h.tmp

bpf/trace-exits.bpf.o: bpf/trace-exits.bpf.c $(trace_headers)
	$(AM_V_at)$(MKDIR_P) bpf
	$(AM_V_GEN)$(BPF_TRACE) -c $(srcdir)/bpf/trace-exits.bpf.c -o $@
bpf/trace-exits.skel.h: bpf/trace-exits.bpf.o
	$(AM_V_GEN)$(BPFTOOL) gen skeleton bpf/trace-exits.bpf.o name trace_exits_bpf > $@.tmp && mv $@.tmp $@
trace_exits_object = src/tools/zcp_trace-trace-exits.$(OBJEXT)
$(trace_exits_object): bpf/trace-exits.skel.h
CLEANFILES += bpf/trace-exits.bpf.o bpf/trace-exits.skel.h bpf/trace-exits.skel.h.tmp

bpf/trace-flow.bpf.o: bpf/trace-flow.bpf.c $(trace_headers)
	$(AM_V_at)$(MKDIR_P) bpf
	$(AM_V_GEN)$(BPF_TRACE) -c $(srcdir)/bpf/trace-flow.bpf.c -o $@
bpf/trace-flow.skel.h: bpf/trace-flow.bpf.o
	$(AM_V_GEN)$(BPFTOOL) gen skeleton bpf/trace-flow.bpf.o name trace_flow_bpf > $@.tmp && mv $@.tmp $@
trace_flow_object = src/tools/zcp_trace-trace-flow.$(OBJEXT)
$(trace_flow_object): bpf/trace-flow.skel.h
CLEANFILES += bpf/trace-flow.bpf.o bpf/trace-flow.skel.h bpf/trace-flow.skel.h.tmp

bpf/trace-wakeups.bpf.o: bpf/trace-wakeups.bpf.c $(trace_headers)
	$(AM_V_at)$(MKDIR_P) bpf
	$(AM_V_GEN)$(BPF_TRACE) -c $(srcdir)/bpf/trace-wakeups.bpf.c -o $@
bpf/trace-wakeups.skel.h: bpf/trace-wakeups.bpf.o
	$(AM_V_GEN)$(BPFTOOL) gen skeleton bpf/trace-wakeups.bpf.o name trace_wakeups_bpf > $@.tmp && mv $@.tmp $@
trace_wakeups_object = src/tools/zcp_trace-trace-wakeups.$(OBJEXT)
$(trace_wakeups_object): bpf/trace-wakeups.skel.h
CLEANFILES += bpf/trace-wakeups.bpf.o bpf/trace-wakeups.skel.h bpf/trace-wakeups.skel.h.tmp
endif

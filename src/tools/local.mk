# SPDX-License-Identifier: MIT
# The command-line tools. They link the convenience libraries, not libzcp.so: a tool runs from the build
# tree as it is and may use internal functions (the directory, for one).

bin_PROGRAMS += zcp

zcp_SOURCES = \
	src/tools/child.c \
	src/tools/child.h \
	src/tools/cmd-call.c \
	src/tools/cmd-info.c \
	src/tools/cmd-list.c \
	src/tools/cmd-listen.c \
	src/tools/cmd-notify.c \
	src/tools/cmd-pub.c \
	src/tools/cmd-serve.c \
	src/tools/cmd-send.c \
	src/tools/cmd-sub.c \
	src/tools/cmd-top.c \
	src/tools/cmd-watch.c \
	src/tools/input.c \
	src/tools/input.h \
	src/tools/interrupt.c \
	src/tools/interrupt.h \
	src/tools/printer.c \
	src/tools/printer.h \
	src/tools/progress.c \
	src/tools/progress.h \
	src/tools/sight.c \
	src/tools/sight.h \
	src/tools/snapshot.c \
	src/tools/snapshot.h \
	src/tools/text.c \
	src/tools/text.h \
	src/tools/tool.c \
	src/tools/tool.h \
	src/tools/top-detail.c \
	src/tools/top-draw.c \
	src/tools/top-keys.c \
	src/tools/top-print.c \
	src/tools/top-screen.c \
	src/tools/top-screen.h \
	src/tools/top-table.c \
	src/tools/top.h \
	src/tools/traffic-read.c \
	src/tools/traffic-steps.h \
	src/tools/traffic-sums.c \
	src/tools/traffic.c \
	src/tools/traffic.h \
	src/tools/zcp.c
zcp_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(NCURSES_CFLAGS)
zcp_LDADD = \
	libzcp_lib.la \
	libzcp_channel.la \
	libzcp_common.la \
	$(JANSSON_LIBS) \
	$(NCURSES_LIBS)

# zcp bench. `make bench` runs it from the build tree; BENCHFLAGS='--quick latency' for less.
zcp_SOURCES += \
	src/tools/bench-call.c \
	src/tools/bench-exit.c \
	src/tools/bench-fanout.c \
	src/tools/bench-floor.c \
	src/tools/bench-crowd.c \
	src/tools/bench-join.c \
	src/tools/bench-latency.c \
	src/tools/bench-memory.c \
	src/tools/bench-pingpong.h \
	src/tools/bench-report.c \
	src/tools/bench-router.c \
	src/tools/bench-throughput.c \
	src/tools/bench-util.c \
	src/tools/bench-waitset.c \
	src/tools/bench-wake.c \
	src/tools/bench.h \
	src/tools/cmd-bench.c
zcp_LDADD += -lm

# zcp doctor, which sets the router's event loop up as the router does.
zcp_SOURCES += \
	src/router/loop-uring-setup.c \
	src/router/pidfd.c \
	src/tools/cmd-doctor.c \
	src/tools/doctor-cpu.c \
	src/tools/doctor-facts.c \
	src/tools/doctor-kernel.c \
	src/tools/doctor-limits.c \
	src/tools/doctor-memory.c \
	src/tools/doctor-router.c \
	src/tools/doctor-wake.c \
	src/tools/doctor-wake.h \
	src/tools/doctor.h
zcp_CPPFLAGS += $(LIBURING_CFLAGS)
zcp_LDADD += $(LIBURING_LIBS)

# zcp-trace: the sub-commands each with a BPF object of bpf/.
if HAVE_BPF
bin_PROGRAMS += zcp-trace
endif
zcp_trace_SOURCES = \
	src/tools/interrupt.c \
	src/tools/interrupt.h \
	src/tools/snapshot.c \
	src/tools/snapshot.h \
	src/tools/text.c \
	src/tools/text.h \
	src/tools/tool.c \
	src/tools/tool.h \
	src/tools/trace-attach.c \
	src/tools/trace-attach.h \
	src/tools/trace-drops.c \
	src/tools/trace-events.c \
	src/tools/trace-exits.c \
	src/tools/trace-flow.c \
	src/tools/trace-flow.h \
	src/tools/trace-histogram.c \
	src/tools/trace-histogram.h \
	src/tools/trace-screen.c \
	src/tools/trace-screen.h \
	src/tools/trace-kinds.c \
	src/tools/trace-kinds.h \
	src/tools/trace-latency.c \
	src/tools/trace-names.c \
	src/tools/trace-names.h \
	src/tools/trace-output.c \
	src/tools/trace-run.c \
	src/tools/trace-top.c \
	src/tools/trace-wakeups.c \
	src/tools/trace-whose.c \
	src/tools/trace-whose.h \
	src/tools/trace.c \
	src/tools/trace.h
zcp_trace_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir) -I$(top_builddir) -DLIBDIR='"$(libdir)"' $(JANSSON_CFLAGS) $(LIBBPF_CFLAGS)
zcp_trace_LDADD = \
	libzcp_lib.la \
	libzcp_channel.la \
	libzcp_common.la \
	$(JANSSON_LIBS) \
	$(LIBBPF_LIBS)

bench: zcp$(EXEEXT) zcp-router$(EXEEXT)
	$(AM_V_at)ZCP_ROUTER_BIN='$(abs_builddir)/zcp-router$(EXEEXT)' ./zcp$(EXEEXT) bench $(BENCHFLAGS)
bench-probes:
	$(srcdir)/scripts/bench-probes
.PHONY: bench bench-probes

# zcp record, zcp replay
zcp_SOURCES += \
	src/tools/cmd-record.c \
	src/tools/cmd-replay.c \
	src/tools/crc32c.c \
	src/tools/crc32c.h \
	src/tools/recorder-topics.c \
	src/tools/recorder-topics.h \
	src/tools/recording-cursor.c \
	src/tools/recording-cursor.h \
	src/tools/recording-info.c \
	src/tools/recording-info.h \
	src/tools/recording-output.c \
	src/tools/recording-output.h \
	src/tools/recording-pack.c \
	src/tools/recording-pack.h \
	src/tools/recording-parts.c \
	src/tools/recording-parts.h \
	src/tools/recording-reader.c \
	src/tools/recording-reader.h \
	src/tools/recording-scan.c \
	src/tools/recording-writer.c \
	src/tools/recording-writer.h \
	src/tools/recording.c \
	src/tools/recording.h \
	src/tools/replay-publish.c \
	src/tools/replay-sources.c \
	src/tools/replay.h
zcp_CPPFLAGS += $(ZSTD_CFLAGS)
zcp_LDADD += $(ZSTD_LIBS)

include src/examples/local.mk

EXTRA_DIST += scripts/bench-record scripts/demo

# SPDX-License-Identifier: MIT
# The client library. The convenience library is what tools and unit tests link, so that they reach
# internal functions; libzcp.la is the same code behind the symbol map.

noinst_LTLIBRARIES += libzcp_lib.la
lib_LTLIBRARIES += libzcp.la
pkginclude_HEADERS += include/zcp/zcp.h include/zcp/zcp.hpp

libzcp_lib_la_CPPFLAGS = $(AM_CPPFLAGS) -DZCP_BINDIR='"$(bindir)"'
libzcp_lib_la_SOURCES = \
	src/lib/autostart.c \
	src/lib/autostart.h \
	src/lib/client-open.c \
	src/lib/client-take.c \
	src/lib/client.c \
	src/lib/client.h \
	src/lib/connection.c \
	src/lib/control.c \
	src/lib/control.h \
	src/lib/doorbell.h \
	src/lib/endpoint.c \
	src/lib/endpoint.h \
	src/lib/error.c \
	src/lib/error.h \
	src/lib/exchange.c \
	src/lib/exchange.h \
	src/lib/fork.c \
	src/lib/fork.h \
	src/lib/growth.c \
	src/lib/growth.h \
	src/lib/handover.c \
	src/lib/handover.h \
	src/lib/lane.c \
	src/lib/latest.c \
	src/lib/listener.c \
	src/lib/lane-growth.c \
	src/lib/lane-growth.h \
	src/lib/node-open.c \
	src/lib/node.c \
	src/lib/node.h \
	src/lib/notifier.c \
	src/lib/options.c \
	src/lib/options.h \
	src/lib/probe.c \
	src/lib/publisher.c \
	src/lib/rejoin.c \
	src/lib/rejoin.h \
	src/lib/publisher.h \
	src/lib/publisher-open.c \
	src/lib/router-path.c \
	src/lib/router-path.h \
	src/lib/send.c \
	src/lib/server.c \
	src/lib/server.h \
	src/lib/server-open.c \
	src/lib/subscriber.c \
	src/lib/subscriber.h \
	src/lib/tally.c \
	src/lib/tally.h \
	src/lib/waitset.c \
	src/lib/waitset.h \
	src/lib/waitset-fd.c \
	src/lib/waitset-member.c \
	src/lib/waitset-wait.c \
	src/lib/watch.c \
	src/lib/watch.h \
	src/lib/subscriber-open.c \
	src/lib/subscriber-sleep.c

libzcp_la_SOURCES =
libzcp_la_LIBADD = \
	libzcp_lib.la \
	libzcp_channel.la \
	libzcp_common.la
libzcp_la_LDFLAGS = \
	$(AM_LDFLAGS) \
	$(LIBRARY_LDFLAGS) \
	-version-info 0:0:0 \
	-Wl,--version-script=$(srcdir)/src/lib/libzcp.map
EXTRA_libzcp_la_DEPENDENCIES = src/lib/libzcp.map

EXTRA_DIST += src/lib/libzcp.map

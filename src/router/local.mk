# SPDX-License-Identifier: MIT
# The daemon. libzcp_router.la is all of it but main(), for the unit tests.

noinst_LTLIBRARIES += libzcp_router.la
bin_PROGRAMS += zcp-router

libzcp_router_la_SOURCES = \
	src/router/dispatch.c \
	src/router/log.c \
	src/router/log.h \
	src/router/loop-epoll.c \
	src/router/loop-internal.h \
	src/router/loop-uring.c \
	src/router/loop.c \
	src/router/loop.h \
	src/router/match.c \
	src/router/match.h \
	src/router/notify.c \
	src/router/notify.h \
	src/router/options.c \
	src/router/options.h \
	src/router/outbox.c \
	src/router/outbox.h \
	src/router/peer.c \
	src/router/peer.h \
	src/router/quota.c \
	src/router/quota.h \
	src/router/refusal.c \
	src/router/refusal.h \
	src/router/registry.c \
	src/router/registry.h \
	src/router/router.c \
	src/router/router.h \
	src/router/segment.c \
	src/router/segment.h \
	src/router/socket.c \
	src/router/socket.h \
	src/router/table.h \
	src/router/view.c \
	src/router/view.h
libzcp_router_la_CPPFLAGS = $(AM_CPPFLAGS) $(LIBURING_CFLAGS)
libzcp_router_la_LIBADD = $(LIBURING_LIBS)

zcp_router_SOURCES = \
	src/router/main.c
zcp_router_CPPFLAGS = $(AM_CPPFLAGS) $(LIBURING_CFLAGS)
zcp_router_LDADD = \
	libzcp_router.la \
	libzcp_channel.la \
	libzcp_common.la \
	$(LIBURING_LIBS)

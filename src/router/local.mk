# SPDX-License-Identifier: MIT
# The daemon. libzcp_router.la is all of it but main(), for the unit tests.

noinst_LTLIBRARIES += libzcp_router.la
bin_PROGRAMS += zcp-router

libzcp_router_la_SOURCES = \
	src/router/activation.c \
	src/router/activation.h \
	src/router/claim.c \
	src/router/claim.h \
	src/router/config-file.c \
	src/router/config-file.h \
	src/router/detector.c \
	src/router/detector.h \
	src/router/dispatch.c \
	src/router/dispatch.h \
	src/router/growth.c \
	src/router/growth.h \
	src/router/handover.c \
	src/router/handover.h \
	src/router/introduce.c \
	src/router/introduce.h \
	src/router/exit-bpf.c \
	src/router/exit-bpf.h \
	src/router/log.c \
	src/router/log.h \
	src/router/look.c \
	src/router/look.h \
	src/router/loop-epoll.c \
	src/router/loop-internal.h \
	src/router/loop-uring-setup.c \
	src/router/loop-uring-slot.c \
	src/router/loop-uring.c \
	src/router/loop-uring.h \
	src/router/loop.c \
	src/router/loop.h \
	src/router/match.c \
	src/router/match.h \
	src/router/options.c \
	src/router/options.h \
	src/router/outbox.c \
	src/router/outbox.h \
	src/router/peer.c \
	src/router/peer.h \
	src/router/pidfd.c \
	src/router/pidfd.h \
	src/router/probe.c \
	src/router/quota.c \
	src/router/quota.h \
	src/router/refusal.c \
	src/router/refusal.h \
	src/router/registry.c \
	src/router/registry.h \
	src/router/rejoin.c \
	src/router/relay.c \
	src/router/relay.h \
	src/router/router.c \
	src/router/router.h \
	src/router/segment.c \
	src/router/segment.h \
	src/router/send.c \
	src/router/send.h \
	src/router/service.c \
	src/router/service.h \
	src/router/settings.c \
	src/router/settings.h \
	src/router/socket.c \
	src/router/socket.h \
	src/router/table.h \
	src/router/view.c \
	src/router/view.h \
	src/router/watch.c \
	src/router/watch.h
libzcp_router_la_CPPFLAGS = $(AM_CPPFLAGS) $(LIBURING_CFLAGS) $(LIBBPF_CFLAGS) $(INIH_CFLAGS)
libzcp_router_la_LIBADD = $(LIBURING_LIBS) $(LIBBPF_LIBS) $(INIH_LIBS)

zcp_router_SOURCES = \
	src/router/main.c
zcp_router_CPPFLAGS = $(AM_CPPFLAGS) $(LIBURING_CFLAGS) -DROUTER_CONF='"$(sysconfdir)/zcp/router.conf"'
zcp_router_LDADD = \
	libzcp_router.la \
	libzcp_lib.la \
	libzcp_channel.la \
	libzcp_common.la \
	$(LIBURING_LIBS) \
	$(LIBBPF_LIBS)

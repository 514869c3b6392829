# SPDX-License-Identifier: MIT
# The data plane: one writer's ring and chunk pool, any number of reader lanes.

noinst_LTLIBRARIES += libzcp_channel.la

libzcp_channel_la_SOURCES = \
	src/channel/barrier.c \
	src/channel/barrier.h \
	src/channel/counters.c \
	src/channel/counters.h \
	src/channel/extra.c \
	src/channel/extra.h \
	src/channel/geometry.c \
	src/channel/geometry.h \
	src/channel/layout.h \
	src/channel/loan.c \
	src/channel/loan.h \
	src/channel/pool.c \
	src/channel/pool.h \
	src/channel/reader.c \
	src/channel/reader.h \
	src/channel/retire.c \
	src/channel/retire.h \
	src/channel/writer.c \
	src/channel/take.h \
	src/channel/words.h \
	src/channel/writer.h

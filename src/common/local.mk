# SPDX-License-Identifier: MIT
# Wire structs, memfd and seal helpers, names, clock: what every other part stands on.

noinst_LTLIBRARIES += libzcp_common.la

libzcp_common_la_SOURCES = \
	src/common/clock.c \
	src/common/clock.h \
	src/common/directory.c \
	src/common/directory.h \
	src/common/fd.c \
	src/common/fd.h \
	src/common/geometry.h \
	src/common/memfd.c \
	src/common/memfd.h \
	src/common/message.c \
	src/common/message.h \
	src/common/name.c \
	src/common/name.h \
	src/common/pattern.c \
	src/common/pattern.h \
	src/common/probe.h \
	src/common/wire.c \
	src/common/wire.h

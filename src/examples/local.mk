# SPDX-License-Identifier: MIT
# Programs a user can copy: nothing but <zcp/zcp.h> and libzcp.so (and liburing for event-loop), built and run by the tests.

example_programs = \
	src/examples/calculator \
	src/examples/calculator-server \
	src/examples/event-loop \
	src/examples/hello-pub \
	src/examples/hello-sub \
	src/examples/latest-value \
	src/examples/telemetry \
	src/examples/telemetry-view \
	src/examples/video-frames \
	src/examples/video-frames-view \
	src/examples/wait-for-many

noinst_PROGRAMS += $(example_programs)

src_examples_calculator_SOURCES = src/examples/calculator.c src/examples/calculator.h
src_examples_calculator_LDADD = libzcp.la

src_examples_calculator_server_SOURCES = src/examples/calculator-server.c src/examples/calculator.h
src_examples_calculator_server_LDADD = libzcp.la

src_examples_event_loop_SOURCES = src/examples/event-loop.c
src_examples_event_loop_CPPFLAGS = $(AM_CPPFLAGS) $(LIBURING_CFLAGS)
src_examples_event_loop_LDADD = libzcp.la $(LIBURING_LIBS)

src_examples_hello_pub_SOURCES = src/examples/hello-pub.c
src_examples_hello_pub_LDADD = libzcp.la

src_examples_hello_sub_SOURCES = src/examples/hello-sub.c
src_examples_hello_sub_LDADD = libzcp.la

src_examples_latest_value_SOURCES = src/examples/latest-value.c
src_examples_latest_value_LDADD = libzcp.la -lm

src_examples_telemetry_SOURCES = src/examples/telemetry.c src/examples/telemetry.h
src_examples_telemetry_LDADD = libzcp.la

src_examples_telemetry_view_SOURCES = src/examples/telemetry-view.c src/examples/telemetry.h
src_examples_telemetry_view_LDADD = libzcp.la

src_examples_video_frames_SOURCES = src/examples/video-frames.c src/examples/video-frames.h
src_examples_video_frames_LDADD = libzcp.la

src_examples_video_frames_view_SOURCES = src/examples/video-frames-view.c src/examples/video-frames.h
src_examples_video_frames_view_LDADD = libzcp.la

src_examples_wait_for_many_SOURCES = src/examples/wait-for-many.c
src_examples_wait_for_many_LDADD = libzcp.la

if HAVE_CXX
noinst_PROGRAMS += src/examples/hello-cxx
endif
src_examples_hello_cxx_SOURCES = src/examples/hello-cxx.cpp
src_examples_hello_cxx_LDADD = libzcp.la

# The sources are installed as documentation, with a Makefile that builds them there or anywhere else.
examplesdir = $(docdir)/examples
dist_examples_DATA = \
	src/examples/Makefile \
	src/examples/calculator-server.c \
	src/examples/calculator.c \
	src/examples/calculator.h \
	src/examples/event-loop.c \
	src/examples/hello-cxx.cpp \
	src/examples/hello-pub.c \
	src/examples/hello-sub.c \
	src/examples/latest-value.c \
	src/examples/router.conf \
	src/examples/telemetry-view.c \
	src/examples/telemetry.c \
	src/examples/telemetry.h \
	src/examples/video-frames-view.c \
	src/examples/video-frames.c \
	src/examples/video-frames.h \
	src/examples/wait-for-many.c

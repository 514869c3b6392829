# SPDX-License-Identifier: MIT
# One suite for each file of the source, no router running. Pattern:
#
#   check_PROGRAMS += tests/unit/test-name
#   TESTS += tests/unit/test-name
#   tests_unit_test_name_SOURCES = tests/unit/test-name.c
#   tests_unit_test_name_CPPFLAGS = $(TEST_CPPFLAGS)
#   tests_unit_test_name_LDADD = $(TEST_LDADD) libzcp_common.la

# src/common
check_PROGRAMS += \
	tests/unit/test-clock \
	tests/unit/test-directory \
	tests/unit/test-fd \
	tests/unit/test-memfd \
	tests/unit/test-message \
	tests/unit/test-name \
	tests/unit/test-wire
TESTS += \
	tests/unit/test-clock \
	tests/unit/test-directory \
	tests/unit/test-fd \
	tests/unit/test-memfd \
	tests/unit/test-message \
	tests/unit/test-name \
	tests/unit/test-wire
TSAN_TESTS += \
	tests/unit/test-clock \
	tests/unit/test-directory

tests_unit_test_clock_SOURCES = tests/unit/test-clock.c
tests_unit_test_clock_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_clock_LDADD = $(TEST_LDADD) libzcp_common.la

tests_unit_test_directory_SOURCES = tests/unit/test-directory.c
tests_unit_test_directory_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_directory_LDADD = $(TEST_LDADD) libzcp_common.la

tests_unit_test_fd_SOURCES = tests/unit/test-fd.c
tests_unit_test_fd_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_fd_LDADD = $(TEST_LDADD) libzcp_common.la

tests_unit_test_memfd_SOURCES = tests/unit/test-memfd.c
tests_unit_test_memfd_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_memfd_LDADD = $(TEST_LDADD) libzcp_common.la

tests_unit_test_message_SOURCES = tests/unit/test-message.c
tests_unit_test_message_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_message_LDADD = $(TEST_LDADD) libzcp_common.la

tests_unit_test_name_SOURCES = tests/unit/test-name.c
tests_unit_test_name_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_name_LDADD = $(TEST_LDADD) libzcp_common.la

tests_unit_test_wire_SOURCES = tests/unit/test-wire.c
tests_unit_test_wire_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_wire_LDADD = $(TEST_LDADD) libzcp_common.la

# src/channel
CHANNEL_TESTS = \
	tests/unit/test-channel-threads \
	tests/unit/test-extra \
	tests/unit/test-geometry \
	tests/unit/test-counters \
	tests/unit/test-look-on \
	tests/unit/test-reader \
	tests/unit/test-retire \
	tests/unit/test-writer
CHANNEL_TEST_LDADD = $(TEST_LDADD) libzcp_channel.la libzcp_common.la
check_PROGRAMS += $(CHANNEL_TESTS)
TESTS += $(CHANNEL_TESTS)
TSAN_TESTS += $(CHANNEL_TESTS)

tests_unit_test_channel_threads_SOURCES = tests/unit/test-channel-threads.c tests/unit/channel-fixture.h
tests_unit_test_channel_threads_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_channel_threads_LDADD = $(CHANNEL_TEST_LDADD)

tests_unit_test_extra_SOURCES = tests/unit/test-extra.c tests/unit/channel-fixture.h
tests_unit_test_extra_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_extra_LDADD = $(CHANNEL_TEST_LDADD)

tests_unit_test_geometry_SOURCES = tests/unit/test-geometry.c
tests_unit_test_geometry_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_geometry_LDADD = $(CHANNEL_TEST_LDADD)

tests_unit_test_counters_SOURCES = tests/unit/test-counters.c
tests_unit_test_counters_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_counters_LDADD = $(CHANNEL_TEST_LDADD)

tests_unit_test_look_on_SOURCES = tests/unit/test-look-on.c tests/unit/channel-fixture.h
tests_unit_test_look_on_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_look_on_LDADD = $(CHANNEL_TEST_LDADD)
tests_unit_test_reader_SOURCES = tests/unit/test-reader.c tests/unit/channel-fixture.h
tests_unit_test_reader_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_reader_LDADD = $(CHANNEL_TEST_LDADD)

tests_unit_test_retire_SOURCES = tests/unit/test-retire.c tests/unit/channel-fixture.h
tests_unit_test_retire_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_retire_LDADD = $(CHANNEL_TEST_LDADD)

tests_unit_test_writer_SOURCES = tests/unit/test-writer.c tests/unit/channel-fixture.h
tests_unit_test_writer_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_writer_LDADD = $(CHANNEL_TEST_LDADD)

# src/tools
check_PROGRAMS += tests/unit/test-text
TESTS += tests/unit/test-text
tests_unit_test_text_SOURCES = tests/unit/test-text.c src/tools/text.c src/tools/text.h
tests_unit_test_text_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_text_LDADD = $(TEST_LDADD)

check_PROGRAMS += tests/unit/test-recording tests/unit/test-recording-broken
TESTS += tests/unit/test-recording tests/unit/test-recording-broken
RECORDING_SOURCES = \
	tests/unit/recording-fixture.h \
	src/tools/crc32c.c \
	src/tools/recording-cursor.c \
	src/tools/recording-output.c \
	src/tools/recording-pack.c \
	src/tools/recording-parts.c \
	src/tools/recording-reader.c \
	src/tools/recording-scan.c \
	src/tools/recording-writer.c \
	src/tools/recording.c
tests_unit_test_recording_SOURCES = tests/unit/test-recording.c $(RECORDING_SOURCES)
tests_unit_test_recording_CPPFLAGS = $(TEST_CPPFLAGS) $(ZSTD_CFLAGS)
tests_unit_test_recording_LDADD = $(TEST_LDADD) libzcp_common.la $(ZSTD_LIBS)

tests_unit_test_recording_broken_SOURCES = tests/unit/test-recording-broken.c $(RECORDING_SOURCES)
tests_unit_test_recording_broken_CPPFLAGS = $(TEST_CPPFLAGS) $(ZSTD_CFLAGS)
tests_unit_test_recording_broken_LDADD = $(TEST_LDADD) libzcp_common.la $(ZSTD_LIBS)

# src/lib
check_PROGRAMS += tests/unit/test-lib-input
TESTS += tests/unit/test-lib-input
tests_unit_test_lib_input_SOURCES = tests/unit/test-lib-input.c
tests_unit_test_lib_input_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_lib_input_LDADD = libzcp_lib.la libzcp_channel.la libzcp_common.la $(TEST_LDADD)

check_PROGRAMS += tests/unit/test-tally
TESTS += tests/unit/test-tally
tests_unit_test_tally_SOURCES = tests/unit/test-tally.c
tests_unit_test_tally_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_tally_LDADD = $(TEST_LDADD) libzcp_lib.la libzcp_channel.la libzcp_common.la

# src/router and bpf
check_PROGRAMS += tests/unit/test-config
TESTS += tests/unit/test-config
tests_unit_test_config_SOURCES = tests/unit/test-config.c
tests_unit_test_config_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_config_LDADD = $(TEST_LDADD) libzcp_router.la libzcp_channel.la libzcp_common.la $(INIH_LIBS)

check_PROGRAMS += tests/unit/test-exit-bpf
TESTS += tests/unit/test-exit-bpf
tests_unit_test_exit_bpf_SOURCES = tests/unit/test-exit-bpf.c
tests_unit_test_exit_bpf_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_exit_bpf_LDADD = $(TEST_LDADD) libzcp_router.la libzcp_channel.la libzcp_common.la $(LIBBPF_LIBS) $(LIBURING_LIBS)

check_PROGRAMS += tests/unit/test-service
TESTS += tests/unit/test-service
tests_unit_test_service_SOURCES = tests/unit/test-service.c
tests_unit_test_service_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_service_LDADD = $(TEST_LDADD) libzcp_router.la libzcp_channel.la libzcp_common.la

check_PROGRAMS += tests/unit/test-loop
TESTS += tests/unit/test-loop
tests_unit_test_loop_SOURCES = tests/unit/test-loop.c
tests_unit_test_loop_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_loop_LDADD = $(TEST_LDADD) libzcp_router.la libzcp_channel.la libzcp_common.la $(LIBBPF_LIBS) $(LIBURING_LIBS)

check_PROGRAMS += tests/unit/test-pattern
TESTS += tests/unit/test-pattern
tests_unit_test_pattern_SOURCES = tests/unit/test-pattern.c
tests_unit_test_pattern_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_pattern_LDADD = $(TEST_LDADD) libzcp_common.la

#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The library's suites against a router that runs on epoll, as it does where io_uring is refused.

set -u
ZCP_TEST_LOOP=epoll
export ZCP_TEST_LOOP
status=0
skipped=0

for suite in test-lib-call-ends test-lib-death test-lib-exit test-lib-lanes test-lib-pubsub test-lib-restart test-lib-send; do
	echo "$suite on epoll"
	"tests/integration/$suite"
	case $? in
	0) ;;
	77) skipped=77 ;;
	*) status=1 ;;
	esac
done
[ $status -eq 0 ] || exit $status
exit $skipped

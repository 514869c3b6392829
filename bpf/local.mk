# SPDX-License-Identifier: MIT
# The eBPF exit detector and the programs of zcp-trace will be described here, under `if HAVE_BPF`. A
# skeleton is built, not committed; an object that includes one depends on it by x.$(OBJEXT).

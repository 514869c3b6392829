# SPDX-License-Identifier: MIT
# BPF programs. clang compiles X.bpf.c for the bpf target, bpftool wraps the object in a header, the skeleton X.skel.h,
# that carries it inside the program which loads it. Skeletons are built, neither committed nor distributed.

noinst_HEADERS += bpf/exit.h
EXTRA_DIST += bpf/exit.bpf.c

if HAVE_BPF
# clang's bpf target has no idea of multiarch: <asm/types.h> is where the compiler of the host finds it.
BPF_CPPFLAGS = -I$(srcdir)/bpf $$($(CC) -print-multiarch | sed -n 's|..*|-I/usr/include/&|p')

bpf/exit.bpf.o: bpf/exit.bpf.c bpf/exit.h
	$(AM_V_at)$(MKDIR_P) bpf
	$(AM_V_GEN)$(BPF_CLANG) -target bpf -O2 -g -Wall -Werror $(BPF_CPPFLAGS) -c $(srcdir)/bpf/exit.bpf.c -o $@

bpf/exit.skel.h: bpf/exit.bpf.o
	$(AM_V_GEN)$(BPFTOOL) gen skeleton bpf/exit.bpf.o name exit_bpf_skel > $@.tmp && mv $@.tmp $@

# By a variable: automake takes a target that it knows for a rule in place of its own.
exit_bpf_object = src/router/libzcp_router_la-exit-bpf.lo
$(exit_bpf_object): bpf/exit.skel.h
CLEANFILES += bpf/exit.bpf.o bpf/exit.skel.h bpf/exit.skel.h.tmp
endif

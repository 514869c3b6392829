# SPDX-License-Identifier: MIT
# Completions. bash looks for a file of the command's name, so that one file is installed under three names; zsh finds them in _zcp.

EXTRA_DIST += completions/zcp.bash completions/_zcp

BASH_COMPLETIONS = completions/bash/zcp completions/bash/zcp-router
if HAVE_BPF
BASH_COMPLETIONS += completions/bash/zcp-trace
endif
CLEANFILES += completions/bash/zcp completions/bash/zcp-router completions/bash/zcp-trace

$(BASH_COMPLETIONS): $(srcdir)/completions/zcp.bash
	$(AM_V_at)$(MKDIR_P) $(@D)
	$(AM_V_GEN)cp $(srcdir)/completions/zcp.bash $@

if INSTALL_BASH_COMPLETIONS
bashcompletion_DATA = $(BASH_COMPLETIONS)
endif
if INSTALL_ZSH_COMPLETIONS
zshcompletion_DATA = completions/_zcp
endif

# SPDX-License-Identifier: MIT
# What systemd is given: units of the system and of users, the router's user, the socket's directory. Each goes to a directory of
# its own, and configure leaves out those that are set to "no". Files are installed under the names they have here, so those of one
# name are in directories of their own.

EXTRA_DIST += \
	systemd/sysusers.d/zcp.conf \
	systemd/tmpfiles.d/zcp.conf \
	systemd/user/zcp-router.service.in \
	systemd/user/zcp-router.socket \
	systemd/zcp-router.service.in \
	systemd/zcp-router.socket

UNITS = systemd/zcp-router.service systemd/user/zcp-router.service
noinst_DATA += $(UNITS)
CLEANFILES += $(UNITS)

# bindir is for make to expand, so that "make install bindir=..." is what the units say.
$(UNITS): Makefile
	$(AM_V_at)$(MKDIR_P) $(@D)
	$(AM_V_GEN)$(SED) 's|@bindir[@]|$(bindir)|' $(srcdir)/$@.in >$@
systemd/zcp-router.service: $(srcdir)/systemd/zcp-router.service.in
systemd/user/zcp-router.service: $(srcdir)/systemd/user/zcp-router.service.in

if INSTALL_SYSTEM_UNITS
systemdsystemunit_DATA = systemd/zcp-router.service systemd/zcp-router.socket
endif
if INSTALL_USER_UNITS
systemduserunit_DATA = systemd/user/zcp-router.service systemd/user/zcp-router.socket
endif

if INSTALL_SYSUSERS
sysusers_DATA = systemd/sysusers.d/zcp.conf
endif
if INSTALL_TMPFILES
tmpfiles_DATA = systemd/tmpfiles.d/zcp.conf
endif

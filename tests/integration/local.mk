# SPDX-License-Identifier: MIT
# Suites that start a real router, each in a socket directory of its own. Pattern as in tests/unit; such
# a suite links libzcp_lib.la libzcp_channel.la libzcp_common.la and starts $ZCP_ROUTER_BIN.

# SPDX-License-Identifier: MIT
# Pages go to dist_man_MANS as man/zcp.1, man/zcp_node_open.3 and so on; automake derives the section.

dist_man_MANS += man/zcp-router.8

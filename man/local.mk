# SPDX-License-Identifier: MIT
# Pages go to dist_man_MANS as man/zcp.1, man/zcp_node_open.3 and so on; automake derives the section.

dist_man_MANS += man/zcp-bench.1

dist_man_MANS += \
	man/zcp-router.8 \
	man/zcp-router.conf.5

dist_man_MANS += \
	man/zcp-call.1 \
	man/zcp-doctor.1 \
	man/zcp-info.1 \
	man/zcp-list.1 \
	man/zcp-listen.1 \
	man/zcp-notify.1 \
	man/zcp-pub.1 \
	man/zcp-record.1 \
	man/zcp-recording.5 \
	man/zcp-replay.1 \
	man/zcp-serve.1 \
	man/zcp-send.1 \
	man/zcp-sub.1 \
	man/zcp-top.1 \
	man/zcp-watch.1 \
	man/zcp.1

if HAVE_BPF
dist_man_MANS += man/zcp-trace.1
endif

dist_man_MANS += \
	man/libzcp.7 \
	man/zcp-cxx.7 \
	man/zcp-protocol.7 \
	man/zcp-python.7 \
	man/zcp.7 \
	man/zcp_client_open.3 \
	man/zcp_last_error.3 \
	man/zcp_node_offer_fd.3 \
	man/zcp_node_open.3 \
	man/zcp_notifier_open.3 \
	man/zcp_node_send.3 \
	man/zcp_publisher_loan.3 \
	man/zcp_publisher_open.3 \
	man/zcp_server_open.3 \
	man/zcp_subscriber_open.3 \
	man/zcp_subscriber_take.3 \
	man/zcp_waitset_open.3 \
	man/zcp_watch_open.3

# A page of section 3 describes a group of functions, and each of them is found by its own name: a file of
# one line, ".so man3/PAGE.3". They are made here and not committed, and are pages like any other to
# automake, so that no hook has to install and remove them. Which page a name belongs to is looked up in
# the NAME sections; tests/integration/test-man.sh compares this list with src/lib/libzcp.map.
man3_links = \
	man/links/zcp_client_call.3 \
	man/links/zcp_client_close.3 \
	man/links/zcp_client_connect.3 \
	man/links/zcp_client_discard.3 \
	man/links/zcp_client_fd.3 \
	man/links/zcp_client_forget.3 \
	man/links/zcp_client_id.3 \
	man/links/zcp_client_loan.3 \
	man/links/zcp_client_send.3 \
	man/links/zcp_client_send_loan.3 \
	man/links/zcp_client_send_timeout.3 \
	man/links/zcp_client_servers.3 \
	man/links/zcp_client_take.3 \
	man/links/zcp_client_wait.3 \
	man/links/zcp_listener_close.3 \
	man/links/zcp_listener_fd.3 \
	man/links/zcp_listener_id.3 \
	man/links/zcp_listener_notifiers.3 \
	man/links/zcp_listener_open.3 \
	man/links/zcp_listener_take.3 \
	man/links/zcp_listener_wait.3 \
	man/links/zcp_node_close.3 \
	man/links/zcp_node_dispatch.3 \
	man/links/zcp_node_fd.3 \
	man/links/zcp_node_id.3 \
	man/links/zcp_node_take_fd.3 \
	man/links/zcp_node_wait.3 \
	man/links/zcp_node_withdraw_fd.3 \
	man/links/zcp_notifier_close.3 \
	man/links/zcp_notifier_id.3 \
	man/links/zcp_notifier_listeners.3 \
	man/links/zcp_notifier_notify.3 \
	man/links/zcp_notifier_wait.3 \
	man/links/zcp_publisher_close.3 \
	man/links/zcp_publisher_discard.3 \
	man/links/zcp_publisher_id.3 \
	man/links/zcp_publisher_loan_batch.3 \
	man/links/zcp_publisher_publish.3 \
	man/links/zcp_publisher_publish_batch.3 \
	man/links/zcp_publisher_publish_with.3 \
	man/links/zcp_publisher_send.3 \
	man/links/zcp_publisher_send_with.3 \
	man/links/zcp_publisher_subscribers.3 \
	man/links/zcp_publisher_wait.3 \
	man/links/zcp_request_discard.3 \
	man/links/zcp_request_loan.3 \
	man/links/zcp_request_release.3 \
	man/links/zcp_request_reply.3 \
	man/links/zcp_request_reply_with.3 \
	man/links/zcp_request_send.3 \
	man/links/zcp_response_release.3 \
	man/links/zcp_sample_copy.3 \
	man/links/zcp_sample_release.3 \
	man/links/zcp_sample_release_batch.3 \
	man/links/zcp_server_clients.3 \
	man/links/zcp_server_close.3 \
	man/links/zcp_server_fd.3 \
	man/links/zcp_server_id.3 \
	man/links/zcp_server_take.3 \
	man/links/zcp_server_wait.3 \
	man/links/zcp_subscriber_close.3 \
	man/links/zcp_subscriber_fd.3 \
	man/links/zcp_subscriber_latest.3 \
	man/links/zcp_subscriber_stats.3 \
	man/links/zcp_subscriber_take_batch.3 \
	man/links/zcp_subscriber_wait.3 \
	man/links/zcp_version.3 \
	man/links/zcp_waitset_add_client.3 \
	man/links/zcp_waitset_add_fd.3 \
	man/links/zcp_waitset_add_listener.3 \
	man/links/zcp_waitset_add_node.3 \
	man/links/zcp_waitset_add_server.3 \
	man/links/zcp_waitset_add_subscriber.3 \
	man/links/zcp_waitset_add_timer.3 \
	man/links/zcp_waitset_add_watch.3 \
	man/links/zcp_waitset_close.3 \
	man/links/zcp_waitset_fd.3 \
	man/links/zcp_waitset_remove_client.3 \
	man/links/zcp_waitset_remove_fd.3 \
	man/links/zcp_waitset_remove_listener.3 \
	man/links/zcp_waitset_remove_node.3 \
	man/links/zcp_waitset_remove_server.3 \
	man/links/zcp_waitset_remove_subscriber.3 \
	man/links/zcp_waitset_remove_timer.3 \
	man/links/zcp_waitset_remove_watch.3 \
	man/links/zcp_waitset_wait.3 \
	man/links/zcp_watch_close.3 \
	man/links/zcp_watch_fd.3 \
	man/links/zcp_watch_take.3 \
	man/links/zcp_watch_wait.3

nodist_man_MANS = $(man3_links)
CLEANFILES += $(man3_links)

$(man3_links):
	$(AM_V_at)$(MKDIR_P) man/links
	$(AM_V_GEN)name=`basename $@ .3`; \
	page=`grep -l "^\.Nm $$name\( ,\)*$$" $(srcdir)/man/zcp_*.3` && \
	echo ".so man3/`basename $$page`" >$@

EXTRA_DIST += HACKING.md README.md

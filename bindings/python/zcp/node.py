# SPDX-License-Identifier: MIT
"""The node: how a process joins the router. Everything else is opened on one."""

from __future__ import annotations

import collections
import weakref
from typing import Any, Deque, Optional, Union

from ._ffi import c_string, ffi, lib
from ._handle import Handle
from .errors import check
from .names import TopicLike, c_topic, options_of

Readable = Union[bytes, bytearray, memoryview, Any]
"""Whatever supports the buffer protocol and is contiguous: bytes, memoryview, array.array, a NumPy array."""


class Node(Handle):
    """Join the router as `name`, which need not be unique. Blocks until the router has answered, 5 s at most.

    socket_path: of the router; None is $ZCP_ROUTER, else $XDG_RUNTIME_DIR/zcp/router.sock, else /run/zcp/router.sock.
    unmonitored: exempt from the heartbeat scan. no_thread: no background thread; then dispatch() has to be called when
    fileno() is readable, and every 100 ms at least (waits do it while they wait). autostart: start a router for this user
    if none listens. wait_for_router: open all the same if none does, and join when one comes; see wait().

    The background thread is the library's and never takes Python's lock. When the router is restarted, the node
    comes back by itself, and data flows all the time.

    Raises zcp.Error: EINVAL name or options; ConnectionRefused or NotFound no router there; PermissionDenied; TimedOut it does
    not answer; EPROTONOSUPPORT, EDQUOT, ENOSPC, EMFILE, ENOMEM, ENAMETOOLONG, EPROTO, ENOTCONN, WouldBlock (no thread).
    """

    _close_function = "zcp_node_close"
    _what = "node"

    def __init__(self, name: str, *, socket_path: Optional[str] = None, unmonitored: bool = False, no_thread: bool = False,
                 autostart: bool = False, wait_for_router: bool = False) -> None:
        super().__init__()
        self._closing = False
        self._endpoints: Any = weakref.WeakSet()
        self._loans: Deque[None] = collections.deque()
        self.name = name
        self.no_thread = no_thread
        keep: list = []
        options = options_of("node", keep, unmonitored=unmonitored, no_thread=no_thread, autostart=autostart,
                             wait_for_router=wait_for_router)
        options.socket_path = c_string(socket_path, "socket_path", keep)
        c = ffi.new("zcp_node **")
        check(lib.zcp_node_open(c, c_string(name, "name", keep), options))
        self._c = c[0]

    @property
    def id(self) -> int:
        """The node's id at its router, kept when that restarts; never reused. 0 before it has joined."""
        self._enter()
        try:
            return lib.zcp_node_id(self._c)
        finally:
            self._leave()

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._closing

    def wait(self, timeout: Optional[float] = None) -> None:
        """Wait until the node is joined to a router: after wait_for_router, or while a router is restarted.

        timeout: seconds, None for ever, 0 asks. Raises TimedOut; ENOTCONN: the router has evicted this node, for good.
        """
        self._wait(lib.zcp_node_wait, timeout)

    def dispatch(self) -> int:
        """Handle control messages that are there; never blocks. Only for no_thread. Returns how many. ENOTCONN: as for wait()."""
        return self._call(lib.zcp_node_dispatch)

    def fileno(self) -> int:
        """A descriptor that is readable when dispatch() has work. It stays the node's; do not read it."""
        return self._call(lib.zcp_node_fd)

    def send(self, topic: TopicLike, data: Readable = b"") -> int:
        """Publish a message of up to zcp.SEND_MAX bytes through the router, without a publisher: for those who send rarely.

        Blocks until the router has answered, 5 s at most. Returns the number of subscribers reached. Raises zcp.Error:
        EINVAL topic; EMSGSIZE; EDQUOT; ENOSPC; EMFILE; ENOMEM; ENOTCONN or TimedOut: it may have been published all the same.
        """
        keep: list = []
        with ffi.from_buffer(data) as buffer:
            return self._call(lib.zcp_node_send, c_topic(topic, keep), buffer, len(buffer))

    def offer_fd(self, fd: Any) -> int:
        """Offer a descriptor (a number, or an object with fileno()) to those who are connected with endpoints of this node.

        Returns a token, 64 random bits, to be sent along in a message; who gets it calls take_fd(). The node keeps a
        duplicate until withdraw_fd() or close(). Never blocks. Raises zcp.Error: EBADF, EMFILE, ENOMEM.
        """
        token = ffi.new("uint64_t *")
        self._call(lib.zcp_node_offer_fd, fd if isinstance(fd, int) else fd.fileno(), token)
        return token[0]

    def withdraw_fd(self, token: int) -> None:
        """No longer offer what has this token; who took it keeps it. NotFound: nothing is offered with it."""
        self._call(lib.zcp_node_withdraw_fd, token)

    def take_fd(self, endpoint: int, token: int, timeout: Optional[float] = None) -> int:
        """Take the descriptor that the node of `endpoint` (Sample.publisher, Request.client, Response.server) offers.

        Returns a descriptor, close-on-exec, that is the caller's to close. What it is a descriptor of, only the other process
        knows: look before trusting it. Blocks for the router, 5 s at most, and up to timeout (seconds, None for ever) for the
        other node. Raises zcp.Error: NotFound, TimedOut, EBUSY, EDQUOT, ENOTCONN, EMFILE, ENOMEM.
        """
        return self._wait(lib.zcp_node_take_fd, timeout, endpoint, token)

    # ---- the end ----

    def close(self) -> None:
        """Leave, and close all that was opened on this node. A second time changes nothing.

        Samples that are held stay valid until they are given back. While there are arrays or slices of an unpublished
        loan the node stays joined behind the scenes.
        """
        self._closing = True
        for endpoint in list(self._endpoints):
            endpoint.close()
        if not self._loans or self._inherited:
            super().close()

    def _loan_begins(self) -> None:
        self._loans.append(None)

    def _loan_ends(self) -> None:
        self._loans.pop()
        if self._closing and not self._loans:
            super().close()

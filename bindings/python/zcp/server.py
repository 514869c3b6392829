# SPDX-License-Identifier: MIT
"""Answering: a server takes requests and replies to each."""

from __future__ import annotations

from typing import Any, Optional

from ._ffi import ffi, lib, nanoseconds
from ._handle import Endpoint, Identified
from ._loan import Borrowed
from ._message import Message
from ._taker import Taker
from .errors import check
from .names import TopicLike, TypeLike, c_topic, options_of
from .node import Node, Readable


class ResponseLoan(Borrowed):
    """Room for a response, to be written in place and sent."""

    __slots__ = ("_request",)

    def __init__(self, owner: Any, pointer: Any, size: int, c: Any, keep: Any) -> None:
        self._request = c
        super().__init__(owner, pointer, size, lambda lent: lib.zcp_request_discard(c, lent), keep)

    def send(self, size: Optional[int] = None, *, more: bool = False) -> None:
        """Send the first `size` bytes, None for all; more: further responses follow. Ends the loan.

        Raises BufferError while there are arrays or slices of it; ValueError: it has ended; zcp.Error as Request.reply(), the loan
        then stays open.
        """
        chosen = self._size(size)
        self._finish(lambda pointer: lib.zcp_request_send(self._request, pointer, chosen, lib.ZCP_MORE if more else 0))


class Request(Message):
    """A request in place, to be answered before it is released. Released unanswered it ends with ENODATA at the client."""

    __slots__ = ("id", "client", "timestamp_ns", "deadline_ns", "expired", "one_way", "_c", "_server")

    def __init__(self, owner: Any, c: Any) -> None:
        super().__init__(owner, c, lib.zcp_request_release)
        self._server = owner
        self._c = c
        self.id: int = c.id
        """Unique among the requests of its client."""
        self.client: int = c.client
        """Endpoint id of the client."""
        self.timestamp_ns: int = c.timestamp_ns
        """CLOCK_MONOTONIC (time.monotonic_ns()) when it was sent."""
        self.deadline_ns: int = c.deadline_ns
        """CLOCK_MONOTONIC until when the client waits; 0: for ever."""
        self.expired: bool = bool(c.flags & lib.ZCP_EXPIRED)
        """Its deadline had passed when it was taken; nobody waits for the response any more."""
        self.one_way: bool = bool(c.flags & lib.ZCP_ONE_WAY)
        """The client wants no response."""

    def reply(self, data: Readable = b"", *, more: bool = False) -> None:
        """Answer with a copy of `data`; more: this is one of several responses. To a one-way request nothing is sent.

        Raises BrokenPipe: the client is gone; WouldBlock: it has no room for more responses, or (EALREADY) the last response was
        sent before; TimedOut; ValueError: released; zcp.Error: EMSGSIZE, ENOBUFS.
        """
        self._memory.view       # raises if it was released
        with ffi.from_buffer(data) as buffer:
            self._in_server(lib.zcp_request_reply_with, buffer, len(buffer), lib.ZCP_MORE if more else 0)

    def loan(self, size: int) -> ResponseLoan:
        """Borrow room for a response of up to `size` bytes. The request is given back after it. Raises as reply()."""
        self._memory.view
        pointer = ffi.new("void **")
        self._in_server(lib.zcp_request_loan, size, pointer)
        return ResponseLoan(self._server, pointer[0], size, self._c, self._memory.pointer)

    def _in_server(self, function: Any, *arguments: Any) -> None:
        self._server._enter()
        try:
            check(function(self._c, *arguments))
        finally:
            self._server._leave()

    def __repr__(self) -> str:
        return f"<zcp.Request {self.id} of {self.client}: {self._size_text()}>"


class Server(Taker[Request], Identified, Endpoint):
    """Open a server of `topic`. Blocks until the router has answered, 5 s at most.

    payload_max: of responses in bytes, up to 2 GiB; 0: the type's size, else 4096. depth: responses to one client that it has
    not taken yet. max_held: requests taken and not released, 1 to 1024; 0: 16. max_clients, max_loans: 0 for the defaults.
    load_balanced: share the topic with other servers that are so too. timeout: seconds that a reply waits for a client
    that does not take its responses, None for ever, 0 not at all. request_type, response_type: see zcp.Type.

    It can be iterated, `for request in server` and `async for request in server`, until it is closed. Closing it ends what was not
    answered with EPIPE at the clients.

    Raises zcp.Error: as Subscriber; EADDRINUSE the topic has a server, and not both are load_balanced.
    """

    _open_function = "zcp_server_open"
    _close_function = "zcp_server_close"
    _fd_function = "zcp_server_fd"
    _wait_function = "zcp_server_wait"
    _id_function = "zcp_server_id"
    _what = "server"

    def __init__(self, node: Node, topic: TopicLike, *, payload_max: int = 0, depth: int = 0, max_held: int = 0,
                 max_clients: int = 0, max_loans: int = 0, load_balanced: bool = False, timeout: Optional[float] = 0,
                 request_type: TypeLike = None, response_type: TypeLike = None) -> None:
        keep: list = []
        options = options_of("server", keep, nanoseconds(timeout), payload_max=payload_max, depth=depth, max_held=max_held,
                             max_clients=max_clients, max_loans=max_loans, load_balanced=load_balanced,
                             request_type=request_type, response_type=response_type)
        super().__init__(node, c_topic(topic, keep), options)

    def _take_one(self) -> Request:
        c = ffi.new("struct zcp_request *")
        check(lib.zcp_server_take(self._c, c))
        return Request(self, c)

    @property
    def clients(self) -> int:
        """Number of clients connected now."""
        return self._call(lib.zcp_server_clients)

# SPDX-License-Identifier: MIT
"""Asking: a client sends requests to servers, and takes what they answer.

Who waits for one particular response - call(), and its sibling for asyncio in zcp.aio - has an entry in a table. Whoever
takes a response, puts it there if it belongs to such an entry; the others are handed out by take().
"""

from __future__ import annotations

import collections
import contextlib
import errno
import time
from typing import Any, Callable, Deque, Dict, Optional

from ._ffi import ffi, lib, nanoseconds
from ._handle import SLICE, Endpoint, Identified
from ._loan import Borrowed
from ._message import Message
from ._taker import Taker
from .errors import Error, TimedOut, WouldBlock, check, error
from .names import TopicLike, TypeLike, c_topic, options_of
from .node import Node, Readable


class RequestLoan(Borrowed):
    """Room for a request, to be written in place and sent."""

    __slots__ = ()

    def send(self, size: Optional[int] = None, *, one_way: bool = False) -> int:
        """Send the first `size` bytes, None for all. Ends the loan. Returns the id that its responses will have; 0 if one_way.

        It goes to the server that was chosen when it was lent. Raises BrokenPipe if that has ended, and the loan is over; BufferError
        while there are arrays or slices of it; ValueError: it has ended; zcp.Error as Client.send(), the loan then stays open.
        """
        chosen = self._size(size)
        c_id = ffi.NULL if one_way else ffi.new("uint64_t *")
        self._finish(lambda pointer: lib.zcp_client_send_loan(self._owner._c, pointer, chosen, c_id), (errno.EPIPE,))
        return 0 if one_way else c_id[0]


class Response(Message):
    """What became of a request: a response in place, or how it ended without one."""

    __slots__ = ("id", "error", "more", "timestamp_ns", "server")

    def __init__(self, owner: Any, c: Any) -> None:
        super().__init__(owner, c, lib.zcp_response_release)
        self.id: int = c.id
        """Of the request."""
        self.error: Optional[Error] = _ended(c.status) if c.status else None
        """None; or BrokenPipe: the server has ended; TimedOut; zcp.Error with ENODATA: it released the request unanswered."""
        self.more: bool = bool(c.flags & lib.ZCP_MORE)
        """This is not the last response to the request."""
        self.timestamp_ns: int = c.timestamp_ns
        """CLOCK_MONOTONIC (time.monotonic_ns()) when it was sent; 0 if there is an error."""
        self.server: int = c.server
        """Endpoint id of the server."""

    @property
    def data(self) -> memoryview:
        """The response, read-only. Raises error if there is one; ValueError after release()."""
        if self.error is not None:
            raise self.error
        return self._memory.view

    def __repr__(self) -> str:
        return f"<zcp.Response to {self.id}: {self.error or self._size_text()}>"


def _ended(status: int) -> Error:
    texts = {
        errno.EPIPE: "the server ended before it answered",
        errno.ETIMEDOUT: "the server did not answer in time",
        errno.ENODATA: "the server released the request without an answer",
    }
    return error(-status, texts.get(-status, ""))


class Client(Taker[Response], Identified, Endpoint):
    """Open a client of `topic`. Blocks until the router has answered, 5 s at most, and up to 1 s for the servers that are there.

    payload_max: of requests in bytes, up to 2 GiB; 0: the type's size, else 4096. max_pending: requests sent and not ended; 0:
    64. max_held: responses held at once; 0: max_pending + 2. max_servers, max_loans: 0 for the defaults. wait_for_server: a call
    without a server waits for one within its timeout, instead of ENOTCONN. timeout: seconds after which a request of send() or of
    a loan ends; None: never. request_type, response_type: see zcp.Type.

    It can be iterated, `for response in client` and `async for response in client`, until it is closed. For `await client.call()` see
    zcp.aio.Client.

    Raises zcp.Error: as Subscriber; EPROTOTYPE also: a server has other types.
    """

    _open_function = "zcp_client_open"
    _close_function = "zcp_client_close"
    _fd_function = "zcp_client_fd"
    _wait_function = "zcp_client_wait"
    _id_function = "zcp_client_id"
    _what = "client"

    def __init__(self, node: Node, topic: TopicLike, *, payload_max: int = 0, max_pending: int = 0, max_held: int = 0,
                 max_servers: int = 0, max_loans: int = 0, wait_for_server: bool = False, timeout: Optional[float] = None,
                 request_type: TypeLike = None, response_type: TypeLike = None) -> None:
        keep: list = []
        options = options_of("client", keep, 0 if timeout is None else max(nanoseconds(timeout), 1), payload_max=payload_max,
                             max_pending=max_pending, max_held=max_held, max_servers=max_servers, max_loans=max_loans,
                             wait_for_server=wait_for_server, request_type=request_type, response_type=response_type)
        self._wait_for_server = wait_for_server
        self._kept: Deque[Response] = collections.deque()
        self._calls: Dict[int, Callable[[Response], None]] = {}
        super().__init__(node, c_topic(topic, keep), options)

    # ---- asking ----

    def call(self, data: Readable = b"", timeout: Optional[float] = None) -> Response:
        """Ask with a copy of `data`, and wait up to `timeout` seconds (None: for ever) for the response.

        The timeout is the request's deadline, too, which the server sees. Of several responses it is the first, and the others are
        dropped. Responses to other requests that come meanwhile are kept for take().

        Raises TimedOut; BrokenPipe the server ended before it answered; WouldBlock the server takes no requests; zcp.Error: ENODATA it
        released the request unanswered; ENOTCONN no server is there; EMSGSIZE; ENOBUFS too many requests are under way, or
        responses held.
        """
        nanoseconds(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        answers: Deque[Response] = collections.deque()
        while True:
            try:
                request = self._ask(data, deadline, answers.append)
                break
            except Error as failed:
                if failed.errno != errno.ENOTCONN or not self._wait_for_server:
                    raise
            self.connect(1, None if deadline is None else max(deadline - time.monotonic(), 0))
        try:
            while not answers:
                try:
                    self._route()
                except WouldBlock:
                    # no longer than that, because another thread may take it and put it there. It is the library that knows
                    # when the time is up.
                    with contextlib.suppress(TimedOut):
                        super().wait(SLICE)
        finally:
            self._hang_up(request)
        return _good(answers.popleft())

    def send(self, data: Readable = b"", *, one_way: bool = False) -> int:
        """Send a request, a copy of `data`, and return the id that its responses will have; 0 if one_way: nothing comes back.

        With several servers the one with the fewest requests under way gets it. Raises as call(), without what comes of waiting.
        """
        with ffi.from_buffer(data) as buffer:
            if one_way:
                self._call(lib.zcp_client_send, buffer, len(buffer), ffi.NULL)
                return 0
            c_id = ffi.new("uint64_t *")
            self._call(lib.zcp_client_send, buffer, len(buffer), c_id)
            return c_id[0]

    def loan(self, size: int) -> RequestLoan:
        """Borrow room for a request of up to `size` bytes. Raises as send()."""
        pointer = ffi.new("void **")
        self._enter()
        try:
            check(lib.zcp_client_loan(self._c, size, pointer))
            return RequestLoan(self, pointer[0], size, lambda lent: lib.zcp_client_discard(self._c, lent))
        finally:
            self._leave()

    def forget(self, request: int) -> None:
        """No longer wait for the request with this id: what is said to it is dropped. NotFound: it has ended."""
        self._call(lib.zcp_client_forget, request)

    # ---- answers ----

    def _take_raw(self) -> Response:
        c = ffi.new("struct zcp_response *")
        check(lib.zcp_client_take(self._c, c))
        return Response(self, c)

    def _take_one(self) -> Response:
        while True:
            if self._kept:
                return self._kept.popleft()
            self._route()

    def _route(self) -> None:
        """Take one, and put it where it belongs."""
        self._enter()
        try:
            response = self._take_raw()
            answer = self._calls.get(response.id)
            (answer or self._kept.append)(response)
        finally:
            self._leave()

    def wait(self, timeout: Optional[float] = None) -> None:
        """As of every Taker: sleep until a response can be taken."""
        if not self._kept:
            super().wait(timeout)

    # ---- calls ----

    def _ask(self, data: Readable, deadline: Optional[float], answer: Callable[[Response], None]) -> int:
        """Send a request with this deadline (of time.monotonic()). answer() is called, under the lock, with what comes of it."""
        c_id = ffi.new("uint64_t *")
        left = None if deadline is None else max(deadline - time.monotonic(), 0)
        with ffi.from_buffer(data) as buffer:
            self._enter()
            try:
                check(lib.zcp_client_send_timeout(self._c, buffer, len(buffer), c_id, nanoseconds(left)))
                self._calls[c_id[0]] = answer
                return c_id[0]
            finally:
                self._leave()

    def _hang_up(self, request: int) -> None:
        """Nobody waits for this request any more, answered or not."""
        self._calls.pop(request, None)
        try:
            self.forget(request)
        except Error:
            pass        # it has ended, or the client is closed

    # ---- servers ----

    @property
    def servers(self) -> int:
        """Number of servers connected now."""
        return self._call(lib.zcp_client_servers)

    def connect(self, servers: int = 1, timeout: Optional[float] = None) -> int:
        """Wait until at least so many are connected; timeout: seconds, None for ever. Returns their number.

        Raises TimedOut; zcp.Error with ENOTCONN: the node is lost for good.
        """
        return self._wait(lib.zcp_client_connect, timeout, servers)


def _good(response: Response) -> Response:
    if response.error is not None:
        response.release()
        raise response.error
    return response

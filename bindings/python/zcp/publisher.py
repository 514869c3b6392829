# SPDX-License-Identifier: MIT
"""Publishing: loans of shared memory that are written in place."""

from __future__ import annotations

import enum
from typing import Any, List, Optional, Sequence

from ._ffi import ffi, lib, nanoseconds
from ._handle import Endpoint, Identified
from ._loan import Borrowed
from .errors import check
from .names import TopicLike, TypeLike, c_topic, options_of
from .node import Node, Readable


class HugePages(enum.IntEnum):
    """Memory of large payloads in pages of 2 MiB or so. ADVISE: transparent ones; TRY: reserved ones where there are enough."""

    NONE = 0
    ADVISE = 1
    TRY = 2


class Loan(Borrowed):
    """Room for a message, to be written in place and published. Left by a with block unpublished, it is discarded."""

    __slots__ = ()

    def publish(self, size: Optional[int] = None, header: Optional[Readable] = None) -> int:
        """Publish the first `size` bytes, None for all, with `header` (see header_size of the publisher). Ends the loan.

        Returns the number of subscribers connected, to which it was delivered. While there are arrays or slices of
        the loan it raises BufferError: they could change a message that is out. Delete them first. On WouldBlock and TimedOut, no
        room at a reliable subscriber, the loan stays open. Also raises ValueError: it has ended; zcp.Error: EMSGSIZE, EINVAL.
        """
        chosen = self._size(size)
        return self._finish(lambda pointer: self._owner._publish(pointer, chosen, header))


class Publisher(Identified, Endpoint):
    """Open a publisher of `topic`. Blocks until the router has answered, 5 s at most.

    payload_max: bytes, up to 2 GiB; 0: the type's size, else 4096. depth: messages a subscriber may lag; 0: 1024 for small
    payloads down to 4 for large ones. history: messages kept for late joiners. reliable: wait for subscribers that did not
    open lossy, up to `timeout` seconds (None for ever, 0 not at all), instead of overrunning them. no_timestamps: messages carry
    timestamp_ns 0. grow: messages may be larger than payload_max. max_subscribers, max_loans, max_held: 0 for the
    defaults. header_size: bytes of user header beside each payload, 0, 8 or 16. type: see zcp.Type.

    Raises zcp.Error: EINVAL topic, type or option; EPROTOTYPE the topic has another type; EDQUOT, ENOSPC limits of the router;
    EMFILE; ENOMEM; ENOTCONN router gone; TimedOut.
    """

    _open_function = "zcp_publisher_open"
    _close_function = "zcp_publisher_close"
    _id_function = "zcp_publisher_id"
    _what = "publisher"

    def __init__(self, node: Node, topic: TopicLike, *, payload_max: int = 0, depth: int = 0, history: int = 0,
                 reliable: bool = False, no_timestamps: bool = False, grow: bool = False, hugepages: HugePages = HugePages.NONE,
                 timeout: Optional[float] = None, max_subscribers: int = 0, max_loans: int = 0, max_held: int = 0,
                 header_size: int = 0, type: TypeLike = None) -> None:
        keep: list = []
        options = options_of("publisher", keep, nanoseconds(timeout) if reliable else 0, payload_max=payload_max, depth=depth,
                             history=history, reliable=reliable, no_timestamps=no_timestamps, grow=grow, hugepages=hugepages,
                             max_subscribers=max_subscribers, max_loans=max_loans, max_held=max_held, header_size=header_size,
                             type=type)
        self._header_size = header_size
        super().__init__(node, c_topic(topic, keep), options)

    def loan(self, size: int) -> Loan:
        """Borrow room for a message of up to `size` bytes. No system call unless the publisher is reliable and waits.

        Raises zcp.Error: EMSGSIZE larger than payload_max; ENOBUFS max_loans are open, or subscribers hold too much;
        WouldBlock or TimedOut a reliable subscriber has no room; with grow also EDQUOT, ENOTCONN, EMFILE, ENOMEM, ENOSPC.
        """
        pointer = ffi.new("void **")
        self._enter()
        try:
            check(lib.zcp_publisher_loan(self._c, size, pointer))
            return self._lend(pointer[0], size)
        finally:
            self._leave()

    def loan_batch(self, size: int, n: int) -> List[Loan]:
        """Up to `n` loans of `size` bytes at once, n <= 64: as many as there are, one at least, or fails as loan()."""
        pointers = ffi.new("void *[]", max(n, 1))
        self._enter()
        try:
            got = check(lib.zcp_publisher_loan_batch(self._c, size, pointers, n))
            return [self._lend(pointers[i], size) for i in range(got)]
        finally:
            self._leave()

    def publish_batch(self, loans: Sequence[Loan], sizes: Optional[Sequence[int]] = None) -> int:
        """Publish these loans in this order with one look at the doorbells; sizes: None for all of each.

        Returns how many were published: fewer than there are only when room ran out, and the others stay open. Fails as
        Loan.publish() if not even the first was.
        """
        loans = list(loans)
        if sizes is not None and len(sizes) != len(loans):
            raise ValueError("as many sizes as loans")
        lengths = [loan._size(sizes[i] if sizes else None) for i, loan in enumerate(loans)]
        suspended: List[Loan] = []
        self._enter()
        try:
            done = 0
            try:
                for loan in loans:
                    if loan._owner is not self:
                        raise ValueError("a loan of another publisher")
                    loan._memory.suspend()
                    suspended.append(loan)
                done = check(lib.zcp_publisher_publish_batch(self._c, [loan._memory.pointer for loan in loans], lengths, len(loans)))
            finally:
                for loan in suspended[done:]:
                    loan._memory.resume()
            for loan in suspended[:done]:
                loan._over()
            return done
        finally:
            self._leave()

    def send(self, data: Readable, header: Optional[Readable] = None) -> int:
        """Loan, copy `data`, publish: returns and fails as these do."""
        with ffi.from_buffer(data) as buffer:
            if header is None:
                return self._call(lib.zcp_publisher_send, buffer, len(buffer))
            return self._call(lib.zcp_publisher_send_with, buffer, len(buffer), self._header(header))

    @property
    def subscribers(self) -> int:
        """Number of subscribers connected now: each gets every message published from here on."""
        return self._call(lib.zcp_publisher_subscribers)

    def wait(self, subscribers: int = 1, timeout: Optional[float] = None) -> int:
        """Wait until at least so many are connected; timeout: seconds, None for ever. Returns their number.

        Raises TimedOut; zcp.Error with ENOTCONN: the node is lost for good.
        """
        return self._wait(lib.zcp_publisher_wait, timeout, subscribers)

    def _lend(self, pointer: Any, size: int) -> Loan:
        return Loan(self, pointer, size, lambda lent: lib.zcp_publisher_discard(self._c, lent))

    def _header(self, header: Readable) -> bytes:
        content = bytes(header)
        if len(content) != self._header_size:
            raise ValueError(f"this publisher's headers have {self._header_size} bytes, not {len(content)}")
        return content

    def _publish(self, pointer: Any, size: int, header: Optional[Readable]) -> int:
        if header is None:
            return lib.zcp_publisher_publish(self._c, pointer, size)
        return lib.zcp_publisher_publish_with(self._c, pointer, size, self._header(header))

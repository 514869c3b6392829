# SPDX-License-Identifier: MIT
"""Subscribing: messages that are read where their publisher wrote them."""

from __future__ import annotations

import errno
from typing import Any, List, NamedTuple, Optional

from ._ffi import ffi, lib
from ._handle import Endpoint
from ._message import Message
from ._taker import Taker
from .errors import check, failure
from .names import TopicLike, TypeLike, c_topic, options_of
from .node import Node


class Sample(Message):
    """A message in place. Its bytes stay valid until it is released, whatever becomes of publisher, router and handles.

    Give it back by release(), at the end of a with block, or by forgetting it. Until then it counts to max_held of its
    subscriber. Arrays and slices made from data keep the memory: it is given back when the last of them is gone.
    """

    __slots__ = ("sequence", "timestamp_ns", "publisher", "lost", "header")

    def __init__(self, owner: Any, c: Any) -> None:
        super().__init__(owner, c, lib.zcp_sample_release)
        self.sequence: int = c.sequence
        """Position in its publisher's stream, from 0."""
        self.timestamp_ns: int = c.timestamp_ns
        """CLOCK_MONOTONIC (time.monotonic_ns()) when it was published; 0: the publisher was opened with no_timestamps."""
        self.publisher: int = c.publisher
        """Endpoint id of its publisher."""
        self.lost: int = c.lost
        """Messages of this publisher that this subscriber lost right before this one."""
        self.header: Optional[bytes] = ffi.buffer(c.header, c.header_size)[:] if c.header else None
        """The publisher's user header, 8 or 16 bytes; None if it has none."""

    def __repr__(self) -> str:
        return f"<zcp.Sample {self.sequence} of {self.publisher}: {self._size_text()}>"


class Stats(NamedTuple):
    """Counts of a subscriber."""

    received: int
    """messages"""
    lost: int
    """messages"""
    publishers: int
    """connected now, or gone with messages still to take"""
    departed: int
    """publishers that are gone and drained"""
    died: int
    """of these, the ones that ended without closing"""
    malformed: int
    """messages skipped because their publisher wrote nonsense"""


class Subscriber(Taker[Sample], Endpoint):
    """Open a subscriber of `topic`. Blocks until the router has answered, 5 s at most; the publishers there are are then connected.

    history: messages wanted from before it joined. max_held: samples held at once, 1 to 1024; 0: 4. max_publishers:
    connected at once; 0: 64. lossy: a reliable publisher does not wait for this one. type: see zcp.Type.

    It can be iterated, `for sample in subscriber` and `async for sample in subscriber`, until it is closed.

    Raises zcp.Error: EINVAL topic, type or option; EPROTOTYPE the topic has another type; EDQUOT, ENOSPC limits of the router,
    or of a publisher; EMFILE; ENOMEM; ENOTCONN router gone; TimedOut.
    """

    _open_function = "zcp_subscriber_open"
    _close_function = "zcp_subscriber_close"
    _fd_function = "zcp_subscriber_fd"
    _wait_function = "zcp_subscriber_wait"
    _what = "subscriber"

    def __init__(self, node: Node, topic: TopicLike, *, history: int = 0, max_held: int = 0, max_publishers: int = 0,
                 lossy: bool = False, type: TypeLike = None) -> None:
        keep: list = []
        options = options_of("subscriber", keep, history=history, max_held=max_held, max_publishers=max_publishers, lossy=lossy,
                             type=type)
        super().__init__(node, c_topic(topic, keep), options)

    def _take_one(self) -> Sample:
        c = ffi.new("struct zcp_sample *")
        check(lib.zcp_subscriber_take(self._c, c))
        return Sample(self, c)

    def take_batch(self, n: int) -> List[Sample]:
        """Up to `n` messages that are there, without waiting: one at least, or fails as take(0)."""
        c = ffi.new("struct zcp_sample[]", max(n, 1))
        self._enter()
        try:
            got = check(lib.zcp_subscriber_take_batch(self._c, c, n))
            # each a struct of its own, so that they can be released in any order and the array goes
            return [Sample(self, ffi.new("struct zcp_sample *", c[i])) for i in range(got)]
        finally:
            self._leave()

    def latest(self) -> Optional[Sample]:
        """The newest value of the topic, and the same one again until there is a newer one; None: no value yet. Never blocks.

        What lies between is skipped, and neither counted as lost nor taken later. Publisher and subscriber want a history of 1;
        one of max_held is kept by the subscriber itself. Raises zcp.Error: ENOBUFS max_held samples are held.
        """
        c = ffi.new("struct zcp_sample *")
        self._enter()
        try:
            result = lib.zcp_subscriber_latest(self._c, c)
            if result == -errno.EAGAIN:
                return None
            if result < 0:
                raise failure(result)
            return Sample(self, c)
        finally:
            self._leave()

    def stats(self) -> Stats:
        """Its counts."""
        c = ffi.new("struct zcp_subscriber_stats *")
        c.sz = ffi.sizeof("struct zcp_subscriber_stats")
        self._call(lib.zcp_subscriber_stats, c)
        return Stats(*(getattr(c, name) for name in Stats._fields))

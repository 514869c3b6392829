# SPDX-License-Identifier: MIT
"""Tasks of an event loop that wait for one handle.

An event loop has one reader for a descriptor, and any number of tasks may wait for it: all are woken, and who finds
nothing sleeps again. The reader is there only while somebody waits: the descriptor stays readable until something is
taken, and the loop would turn round and round.

A client's calls do not look for themselves: one function takes what is there for all of them (`take_all`), as long as
one of them listens.
"""

from __future__ import annotations

import asyncio
import errno
from typing import Any, Callable, Optional, Set

from .errors import error

BREATH = 0.01
"""Seconds until the descriptor is watched again that stays readable, while so much is held that nothing can be taken."""


class Sleepers:
    """Of one handle, which has fileno()."""

    def __init__(self, handle: Any, take_all: Optional[Callable[[], bool]] = None) -> None:
        self._fd = handle.fileno()
        self._handle = handle
        self._take_all = take_all
        self._loop: Any = None
        self._watching = False
        self._sleeping: Set[Any] = set()
        self._listening: Set[Any] = set()

    async def sleep(self) -> None:
        """Until the descriptor is readable; zcp.Error with EBADF if the handle is closed meanwhile."""
        future = asyncio.get_running_loop().create_future()
        self._add(self._sleeping, future)
        try:
            await future
        finally:
            self._sleeping.discard(future)
            self._adjust()

    def listen(self, future: Any) -> None:
        """Call take_all() whenever the descriptor is readable. At close() the future fails with EBADF."""
        self._add(self._listening, future)

    def unlisten(self, future: Any) -> None:
        """No more of it."""
        self._listening.discard(future)
        self._adjust()

    def _add(self, where: Set[Any], future: Any) -> None:
        if self._handle.closed:
            raise error(errno.EBADF, f"this {self._handle._what} is closed")
        loop = future.get_loop()
        if loop is not self._loop and (self._sleeping or self._listening):
            raise RuntimeError("another event loop waits for this handle")
        self._loop = loop
        where.add(future)
        self._adjust()

    def _adjust(self) -> None:
        wanted = bool(self._sleeping or self._listening) and not self._handle.closed
        if wanted and not self._watching:
            self._loop.add_reader(self._fd, self._wake)
        elif self._watching and not wanted and not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        self._watching = wanted

    def _wake(self) -> None:
        emptied = self._take_all() if self._listening and self._take_all else True
        for future in self._sleeping:
            if not future.done():
                future.set_result(None)
        self._sleeping.clear()
        if emptied:
            self._adjust()
        else:
            self._loop.remove_reader(self._fd)
            self._loop.call_later(BREATH, self._look_again)

    def _look_again(self) -> None:
        self._watching = False
        self._adjust()

    def end(self) -> None:
        """The handle is about to be closed: nobody may watch the descriptor any more, whose number is used again."""
        waiting = self._sleeping | self._listening
        self._sleeping.clear()
        self._listening.clear()
        if not self._loop or self._loop.is_closed():
            return
        self._adjust()
        for future in waiting:
            if not future.done():
                # perhaps from another thread
                self._loop.call_soon_threadsafe(_fail, future, error(errno.EBADF, f"this {self._handle._what} is closed"))


def _fail(future: Any, failed: Exception) -> None:
    if not future.done():
        future.set_exception(failed)

# SPDX-License-Identifier: MIT
"""Tasks that sleep for one handle.

An event loop has one reader for a descriptor, and any number of tasks may wait for it: all are woken, and who finds
nothing sleeps again. The reader is there only while somebody sleeps, because the descriptor stays readable until
something is taken, and the loop would turn round and round.
"""

from __future__ import annotations

import asyncio
import errno
from typing import Any, Dict

from .errors import error


class Sleepers:
    """Of one handle, which has fileno()."""

    def __init__(self, handle: Any) -> None:
        self._fd = handle.fileno()
        self._handle = handle
        self._loop: Any = None
        self._futures: Dict[Any, None] = {}

    async def sleep(self) -> None:
        """Until the descriptor is readable; zcp.Error with EBADF if the handle is closed meanwhile."""
        if self._handle.closed:
            raise error(errno.EBADF, f"this {self._handle._what} is closed")
        loop = asyncio.get_running_loop()
        if self._futures and loop is not self._loop:
            raise RuntimeError("another event loop waits for this handle")
        self._loop = loop
        future = loop.create_future()
        if not self._futures:
            loop.add_reader(self._fd, self._wake)
        self._futures[future] = None
        try:
            await future
        finally:
            if self._futures.pop(future, future) is None and not self._futures:
                loop.remove_reader(self._fd)

    def _wake(self) -> None:
        self._loop.remove_reader(self._fd)
        futures, self._futures = self._futures, {}
        for future in futures:
            if not future.done():
                future.set_result(None)

    def end(self) -> None:
        """The handle is about to be closed: nobody may watch the descriptor any more, whose number is used again."""
        if not self._futures or self._loop.is_closed():
            return
        self._loop.remove_reader(self._fd)
        futures, self._futures = self._futures, {}
        for future in futures:
            if not future.done():
                future.set_exception(error(errno.EBADF, f"this {self._handle._what} is closed"))

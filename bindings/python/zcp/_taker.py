# SPDX-License-Identifier: MIT
"""What is common to all from which something is taken: subscribers, servers, clients, listeners and watches.

Three ways to wait: take(timeout), iteration, and asyncio. For asyncio the descriptor is what the event loop watches. It
is readable until a take says EAGAIN, and only a take that says so asks for the next ring: so first take, and
watch the descriptor only after EAGAIN (_sleepers.py).
"""

from __future__ import annotations

import errno
import time
from typing import Any, AsyncIterator, Generic, Iterator, Optional, TypeVar

from ._ffi import lib, nanoseconds
from ._sleepers import Sleepers
from .errors import Error, WouldBlock

T = TypeVar("T")


class Taker(Generic[T]):
    """Mixed into an endpoint; _take_one() takes without waiting, and is called with the lock held."""

    _wait_function = ""
    _fd_function = ""
    _c: Any
    _node: Any
    _sleepers: Any

    def _take_one(self) -> T:
        raise NotImplementedError

    def _take_now(self) -> T:
        self._enter()       # type: ignore[attr-defined]
        try:
            return self._take_one()
        finally:
            self._leave()       # type: ignore[attr-defined]

    def fileno(self) -> int:
        """A descriptor for poll, epoll, selectors: readable until a take says EAGAIN. It stays the handle's; do not read it."""
        return self._call(getattr(lib, self._fd_function))      # type: ignore[attr-defined]

    def wait(self, timeout: Optional[float] = None) -> None:
        """Sleep until something can be taken; timeout: seconds, None for ever, 0 asks.

        In rare cases a take finds nothing all the same; then wait again. Raises TimedOut; zcp.Error: ENOBUFS as many are held as
        may be; release one.
        """
        if self._node.no_thread:
            self._wait(getattr(lib, self._wait_function), timeout)      # type: ignore[attr-defined]
        else:
            self._poll(getattr(lib, self._wait_function), getattr(lib, self._fd_function), timeout)     # type: ignore[attr-defined]

    def take(self, timeout: Optional[float] = 0) -> T:
        """Take the next one. timeout: seconds to wait for it, None for ever; 0 does not wait.

        Raises WouldBlock: timeout is 0 and nothing is there; TimedOut; zcp.Error: ENOBUFS as many are held as may be; release one.
        """
        if timeout == 0:
            return self._take_now()
        nanoseconds(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                return self._take_now()
            except WouldBlock:
                self.wait(None if deadline is None else max(deadline - time.monotonic(), 0))

    def __iter__(self) -> Iterator[T]:
        """What comes, for ever; ends when it is closed."""
        while True:
            try:
                item = self.take(None)
            except Error as failed:
                if failed.errno == errno.EBADF and self._c is None:
                    return
                raise
            yield item
            del item        # or it would be held while the next one is waited for

    # ---- asyncio ----

    async def ready(self) -> None:
        """Wait in the running event loop until something can be taken; in rare cases a take finds nothing all the same."""
        if self._sleepers is None:
            self._sleepers = Sleepers(self)
        await self._sleepers.sleep()

    async def take_async(self) -> T:
        """take(None) for asyncio. May be cancelled: then nothing was taken."""
        while True:
            try:
                return self._take_now()
            except WouldBlock:
                await self.ready()

    async def __aiter__(self) -> AsyncIterator[T]:
        """What comes, for ever; ends when it is closed."""
        while True:
            try:
                item = await self.take_async()
            except Error as failed:
                if failed.errno == errno.EBADF and self._c is None:
                    return
                raise
            yield item
            del item

# SPDX-License-Identifier: MIT
"""For asyncio.

Subscribers, servers, listeners and watches need nothing of this: `async for sample in subscriber`, and
`await subscriber.take_async()`. A client does, because whoever awaits a call waits for one particular response, and there
may be many:

    client = zcp.aio.Client(node, "math/here/add")
    with await client.call(b"...", timeout=1) as response:
        ...

The client's descriptor is watched by the event loop as long as there are calls under way. Opening blocks, as everywhere: for a
fraction of a millisecond if the router is well, 5 s at most; loop.run_in_executor() is for those who cannot have that.
"""

from __future__ import annotations

import asyncio
import errno
import time
from typing import Any, Optional

from ._ffi import nanoseconds
from ._sleepers import Sleepers
from .client import Client as _Client
from .client import Response, _good
from .errors import Error, WouldBlock, error
from .node import Readable

BREATH = 0.01
"""Seconds until another look, while so many responses are held that none can be taken."""


class Client(_Client):
    """A zcp.Client whose call() is a coroutine. To be used by one event loop at a time."""

    async def call(self, data: Readable = b"", timeout: Optional[float] = None) -> Response:    # type: ignore[override]
        """zcp.Client.call() for asyncio: returns and raises the same. May be cancelled; then the response is dropped."""
        loop = asyncio.get_running_loop()
        nanoseconds(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        future: Any = loop.create_future()

        def answer(response: Response) -> None:
            # of several the first; whoever takes may be another thread
            loop.call_soon_threadsafe(_resolve, future, response)

        while True:
            try:
                request = self._ask(data, deadline, answer)
                break
            except Error as failed:
                if failed.errno != errno.ENOTCONN or not self._wait_for_server:
                    raise
            await self._connected(deadline)
        sleepers = self._sleepers_of()
        sleepers.listen(future)
        try:
            self._take_all()
            return _good(await future)
        finally:
            sleepers.unlisten(future)
            self._hang_up(request)

    def _sleepers_of(self) -> Sleepers:
        if self._sleepers is None:
            self._sleepers = Sleepers(self, self._take_all)
        return self._sleepers

    async def _connected(self, deadline: Optional[float]) -> None:
        """A server is there. The library has no descriptor for that."""
        while not self.servers:
            if deadline is not None and time.monotonic() >= deadline:
                raise error(errno.ETIMEDOUT, "no server came in time")
            await asyncio.sleep(BREATH)

    def _take_all(self) -> bool:
        """Take what is there, until the descriptor is no longer readable. False: it stays readable, and nothing can be taken."""
        try:
            while True:
                self._route()
        except WouldBlock:
            return True
        except Error as failed:
            if failed.errno == errno.ENOBUFS:
                return False
            raise

    async def ready(self) -> None:
        """Wait in the running event loop until a response can be taken that is none of a call's."""
        sleepers = self._sleepers_of()
        self._take_all()
        if not self._kept:
            await sleepers.sleep()


def _resolve(future: Any, response: Response) -> None:
    if not future.done():
        future.set_result(response)

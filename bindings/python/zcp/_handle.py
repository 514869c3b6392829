# SPDX-License-Identifier: MIT
"""What all handles have in common: a lock, closing, waiting, and what a fork does to them.

libzcp wants a handle used by one thread at a time, and cffi lets other threads run while a call is under way. So
each handle has a lock around every call. It is reentrant, because a signal handler or the garbage collector may
run Python code between two calls of the thread that has it.

The garbage collector gives samples back, in whichever thread it runs. It cannot wait for the lock: what is to be
given back goes to a queue, and who has the lock, or gets it next, empties that (_give_back).

libzcp's waits are not ended by signals, and they would keep the lock. So who has a descriptor sleeps in poll(2), which
Python interrupts for its signal handlers, and without the lock (_poll). Other waits are made of slices, and signal handlers and
other threads get their turn between two of them (_wait).
"""

from __future__ import annotations

import collections
import errno
import math
import os
import select
import threading
import time
import warnings
from typing import Any, Callable, Deque, Optional, Tuple, TypeVar

from ._ffi import ffi, lib, nanoseconds
from .errors import error, failure

SLICE = 0.1
"""Seconds until a wait looks whether the handle was closed, and that one without a descriptor keeps others waiting."""

_forks = 0


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)

H = TypeVar("H", bound="Handle")


class Handle:
    """A handle of libzcp. Closed by close(), at the end of a with block, or when it is forgotten."""

    _close_function: Any = None
    _what = "handle"

    def __init__(self) -> None:
        self._c: Any = None
        self._lock = threading.RLock()
        self._wanted: Deque[None] = collections.deque()
        self._returned: Deque[Tuple[Callable[..., Any], Tuple[Any, ...]]] = collections.deque()
        self._fork = _forks
        self._waitset: Any = None
        self._sleepers: Any = None

    @property
    def _inherited(self) -> bool:
        """Whether it is a parent's, seen from a forked child."""
        return self._fork != _forks

    # ---- calls ----

    def _enter(self) -> None:
        if self._inherited:
            raise error(errno.EOWNERDEAD, f"this {self._what} was opened by the parent of this process, before fork()")
        while True:
            lock = self._lock
            if not lock.acquire(blocking=False):
                self._wanted.append(None)
                lock.acquire()
                self._wanted.pop()
            if lock is self._lock:
                break
            lock.release()      # it has joined a wait set meanwhile, whose lock it shares
        if self._c is None:
            lock.release()
            raise error(errno.EBADF, f"this {self._what} is closed")
        if self._returned:
            self._empty()

    def _leave(self) -> None:
        self._lock.release()
        if self._returned:
            self._settle()

    def _call(self, function: Callable[..., int], *arguments: Any) -> int:
        """One call with the handle as its first argument."""
        self._enter()
        try:
            result = function(self._c, *arguments)
            if result < 0:
                raise failure(result)
            return result
        finally:
            self._leave()

    def _wait(self, function: Callable[..., int], timeout: Optional[float], *arguments: Any) -> int:
        """One call whose last argument is a timeout, in slices. It must be one that can be called again after ETIMEDOUT."""
        deadline = None if timeout is None else time.monotonic() + timeout
        nanoseconds(timeout)
        left = timeout
        while True:
            part = SLICE if left is None or left > SLICE else left
            self._enter()
            try:
                result = function(self._c, *arguments, nanoseconds(part))
                if result >= 0:
                    return result
                if result != -errno.ETIMEDOUT or part == left:
                    raise failure(result)
            finally:
                self._leave()
            if deadline is not None:
                left = max(deadline - time.monotonic(), 0)
            if self._wanted:
                time.sleep(0.001)   # a lock is not fair by itself

    def _poll(self, function: Callable[..., int], fd_function: Callable[..., int], timeout: Optional[float]) -> int:
        """As _wait(), for what has a descriptor: asks with a timeout of 0, and polls the descriptor in between."""
        nanoseconds(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        poller, watched, rang = select.poll(), -1, False
        while True:
            left = SLICE if deadline is None else min(max(deadline - time.monotonic(), 0), SLICE)
            self._enter()
            try:
                result = function(self._c, 0)
                if result == -errno.ETIMEDOUT and rang:
                    # for a message that is taken already; a wait that sleeps silences the bell, else it would ring for ever
                    result = function(self._c, 1000000)
                if result >= 0:
                    return result
                if result != -errno.ETIMEDOUT or left == 0:
                    raise failure(result)
                fd = fd_function(self._c)
                if fd < 0:
                    raise failure(fd)
            finally:
                self._leave()
            if watched != fd:
                poller.register(fd, select.POLLIN)
                watched = fd
            rang = bool(poller.poll(math.ceil(left * 1000)))

    # ---- giving back ----

    def _give_back(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call `function` under the lock, soon. For destructors: never waits, and may be called by any thread."""
        self._returned.append((function, arguments))
        self._settle()

    def _settle(self) -> None:
        while self._returned and not self._inherited:
            lock = self._lock
            if not lock.acquire(blocking=False):
                return      # who has it looks when he has released it
            try:
                if lock is self._lock:
                    self._empty()
            finally:
                lock.release()

    def _empty(self) -> None:
        while True:
            try:
                function, arguments = self._returned.popleft()
            except IndexError:
                return
            function(*arguments)

    # ---- the end ----

    @property
    def closed(self) -> bool:
        """Whether close() was called, here or by closing the node."""
        return self._c is None

    def close(self) -> None:
        """Close it. A second time changes nothing. Another thread that waits with this handle notices within 0.1 s."""
        if self._c is None:
            return
        if self._inherited:
            # the parent's, and who had the lock there is not here; this closes descriptors that were inherited
            c, self._c = self._c, None
            if self._there:
                self._free(c)
            return
        try:
            self._enter()
        except OSError:
            return
        try:
            if self._waitset is not None and self._there:
                self._waitset._forget(self)
            if self._sleepers is not None:
                self._sleepers.end()
            c, self._c = self._c, None
            if self._there:
                self._free(c)
        finally:
            self._leave()

    @property
    def _there(self) -> bool:
        """Whether the library still has what it refers to, until it is closed."""
        return True

    def _free(self, c: Any) -> None:
        getattr(lib, self._close_function)(c)

    def __enter__(self: H) -> H:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_c", None) is not None and not self._inherited:
            self._warn()
            self.close()

    def _warn(self) -> None:
        warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self)

    def __repr__(self) -> str:
        return f"<zcp.{type(self).__name__} {'closed' if self._c is None else 'open'}>"


class Endpoint(Handle):
    """A handle that belongs to a node, and is closed with it, or before that when nobody has it any more."""

    _open_function = ""

    def __init__(self, node: Any, *arguments: Any) -> None:
        super().__init__()
        self._node = node
        c = ffi.new(f"zcp_{self._what} **")
        node._enter()
        try:
            if node._closing:
                raise error(errno.EBADF, "this node is closed")
            result = getattr(lib, self._open_function)(c, node._c, *arguments)
            if result < 0:
                raise failure(result)
            self._c = c[0]
            node._endpoints.add(self)
        finally:
            node._leave()

    def _warn(self) -> None:
        pass

    @property
    def _there(self) -> bool:
        # The garbage collector may end a node before its endpoints, and it has cleared the weak references by which that would
        # have closed them; the library then did. Whoever else closes a node, closes them first.
        return self._node._c is not None

    @property
    def node(self) -> Any:
        """The node that it belongs to."""
        return self._node


class Identified:
    """Mixed into an endpoint that has an id."""

    _id_function = ""

    @property
    def id(self) -> int:
        """Its id, as others see it. Never reused."""
        self._enter()       # type: ignore[attr-defined]
        try:
            return getattr(lib, self._id_function)(self._c)      # type: ignore[attr-defined]
        finally:
            self._leave()       # type: ignore[attr-defined]

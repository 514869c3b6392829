# SPDX-License-Identifier: MIT
"""Loans: memory of a publisher, client or server that is written in place and then sent or discarded.

Sending is strict: not while anybody else can still write there. Discarding is not: with slices or arrays about, the loan
is discarded when the last of them goes; and its node is not closed before, since that would unmap the memory.
"""

from __future__ import annotations

import errno
from typing import Any, Callable, List, Optional, Tuple, TypeVar

from ._memory import Memory
from .errors import Error, check, error

B = TypeVar("B", bound="Borrowed")


class Borrowed:
    """An open loan. owner: the endpoint; keep: what must not go before it."""

    __slots__ = ("_owner", "_memory", "_state", "__weakref__")

    def __init__(self, owner: Any, pointer: Any, size: int, discard: Callable[[Any], Any], keep: Any = None) -> None:
        # the end of the memory must not keep the loan alive, whose end it is: it knows the state only
        self._owner = owner
        self._state = state = [True]
        owner.node._loan_begins()
        self._memory = Memory(pointer, size, lambda pointer: owner._give_back(_end, owner, state, discard, pointer, keep), writable=True)

    @property
    def data(self) -> memoryview:
        """The memory, writable. ValueError when the loan has ended."""
        return self._memory.view

    @property
    def open(self) -> bool:
        """Whether it can still be sent."""
        return not self._memory.released

    def discard(self) -> None:
        """End the loan unsent. With arrays or slices of it about, its memory is free when the last of them goes."""
        self._memory.release()

    def _size(self, size: Optional[int]) -> int:
        """How much of it to send; None: all."""
        room = len(self.data)
        if size is None:
            return room
        if not 0 <= size <= room:
            raise error(errno.EMSGSIZE, f"this loan has room for {room} bytes, not for {size}")
        return size

    def _finish(self, function: Callable[[Any], int], ends_with: Tuple[int, ...] = ()) -> int:
        """function(pointer) sends it. The loan ends if that succeeds, or fails with one of these errno values."""
        owner = self._owner
        owner._enter()
        try:
            self._memory.suspend()
            try:
                result = check(function(self._memory.pointer))
            except BaseException as failed:
                if isinstance(failed, Error) and failed.errno in ends_with:
                    self._over()
                else:
                    self._memory.resume()
                raise
            self._over()
            return result
        finally:
            owner._leave()

    def _over(self) -> None:
        self._state[0] = False
        self._memory.release()

    def __len__(self) -> int:
        return len(self.data)

    def __enter__(self: B) -> B:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.discard()


def _end(owner: Any, state: List[bool], discard: Callable[[Any], Any], pointer: Any, keep: Any) -> None:
    # a closed endpoint has ended its loans; the node keeps their memory
    if state[0] and owner._c is not None and owner._there:
        discard(pointer)
    owner.node._loan_ends()

# SPDX-License-Identifier: MIT
"""Shared memory as memoryviews that cannot outlive it.

All views of a message - the one that is handed out, slices and casts of it, NumPy arrays made from any of these -
keep the same object alive, through Python's buffer protocol: a cffi buffer, which keeps a pointer with a
destructor. That destructor is what gives the memory back to libzcp. So memory is given back when nobody can look at
it any more, and no order of events leads to a look at memory that is somebody else's.

release() ends the view that was handed out, so that a later look at it raises ValueError, and lets go of the
memory. If an array or a slice is still there, the memory is given back when that goes.
"""

from __future__ import annotations

import os
import weakref
from typing import Any, Callable, Optional

from . import _handle    # noqa: F401
from ._ffi import ffi


class Memory:
    """A piece of shared memory, its view, and what is called (with the pointer) when nobody can look at it any more."""

    __slots__ = ("_pointer", "_size", "_writable", "_view", "_buffer", "__weakref__")

    def __init__(self, pointer: Any, size: int, at_end: Callable[[Any], None], writable: bool = False) -> None:
        self._pointer: Any = ffi.gc(ffi.cast("char *", pointer), at_end)
        self._size = size
        self._writable = writable
        self._open()
        live.add(self)

    def _open(self) -> None:
        # a message of 0 bytes may be at NULL
        buffer = ffi.buffer(self._pointer, self._size) if self._pointer else ffi.buffer(ffi.new("char[1]"), 0)
        self._buffer = weakref.ref(buffer)
        view = memoryview(buffer)
        self._view: Optional[memoryview] = view if self._writable else view.toreadonly()

    @property
    def view(self) -> memoryview:
        """The view; ValueError after release()."""
        if self._view is None:
            raise ValueError("this was released, published or discarded")
        return self._view

    @property
    def pointer(self) -> Any:
        """Where it is, for libzcp."""
        return self._pointer

    @property
    def released(self) -> bool:
        """Whether the view has ended."""
        return self._view is None

    def release(self) -> None:
        """End the view, and let go of the memory: its end is now, or when the last array or slice of it goes."""
        view, self._view = self._view, None
        self._pointer = None
        if view is not None:
            try:
                view.release()
            except BufferError:
                pass        # an array looks through this very view, and keeps it

    def suspend(self) -> None:
        """End the view but keep the memory. BufferError, and no change, if there are arrays or slices of it."""
        self.view.release()     # BufferError: an array was made from it
        self._view = None
        buffer = self._buffer()
        if buffer is not None:
            self._view = memoryview(buffer)
            raise BufferError("there are arrays or slices of this loan; delete them before it is published")

    def resume(self) -> None:
        """A new view after suspend()."""
        self._open()


# After a fork the segments are not mapped in the child: a look at them would end it with SIGSEGV.
live: Any = weakref.WeakSet()


def _release_in_child() -> None:
    for memory in list(live):
        memory.release()


# after that of _handle.py, which sees to it that nothing is given back there
os.register_at_fork(after_in_child=_release_in_child)

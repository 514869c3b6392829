# SPDX-License-Identifier: MIT
"""What samples, requests and responses have in common: read-only bytes in place, which are given back."""

from __future__ import annotations

from typing import Any, Callable, TypeVar

from ._memory import Memory

M = TypeVar("M", bound="Message")


class Message:
    """A message in place. owner: the endpoint that it was taken from; c: the library's struct; release: gives that back."""

    __slots__ = ("_memory", "__weakref__")

    def __init__(self, owner: Any, c: Any, release: Callable[[Any], Any]) -> None:
        self._memory = Memory(c.data, c.size, lambda pointer: owner._give_back(release, c))

    @property
    def data(self) -> memoryview:
        """The message, read-only. ValueError after release()."""
        return self._memory.view

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)

    @property
    def released(self) -> bool:
        """Whether release() was called. The memory may still be held by arrays and slices."""
        return self._memory.released

    def release(self) -> None:
        """Give it back. A second time changes nothing."""
        self._memory.release()

    def copy(self) -> bytes:
        """The message as bytes that not even a hostile publisher can change any more."""
        return bytes(self.data)

    def _size_text(self) -> str:
        return "released" if self.released else f"{self.size} bytes"

    def __len__(self) -> int:
        return len(self.data)

    def __bytes__(self) -> bytes:
        return self.copy()

    def __enter__(self: M) -> M:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.release()

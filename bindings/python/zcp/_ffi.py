# SPDX-License-Identifier: MIT
"""libzcp itself: what cffi knows of it (zcp/_abi.py, made from zcp.h), and the loaded library.

The library is looked for in three places: $ZCP_LIBRARY, if that is set; where it was installed together with this
module; and wherever the dynamic linker finds the name libzcp.so.0.
"""

from __future__ import annotations

import os
from typing import Any, Optional

from . import _abi

ffi: Any = _abi.ffi

SONAME = "libzcp.so.0"


def _load() -> Any:
    chosen = os.environ.get("ZCP_LIBRARY")
    if chosen:
        return ffi.dlopen(chosen)
    if os.path.exists(_abi.library):
        return ffi.dlopen(_abi.library)
    return ffi.dlopen(SONAME)


lib: Any = _load()


def text_of(cdata: Any) -> str:
    """A C string. Names come from other processes: what is not UTF-8 is escaped."""
    return ffi.string(cdata).decode("utf-8", "backslashreplace") if cdata else ""


def nanoseconds(seconds: Optional[float]) -> int:
    """A timeout as libzcp wants it: None waits for ever, and what is not quite 0 does not become 0."""
    if seconds is None:
        return -1
    if not seconds >= 0:
        raise ValueError("a timeout is None or a number of seconds >= 0")
    if seconds > 9e9:
        return -1
    return max(int(seconds * 1e9), 1 if seconds else 0)


def c_string(text: Optional[str], what: str, keep: list) -> Any:
    """A char * that lives as long as the list `keep`, NULL for None."""
    if text is None:
        return ffi.NULL
    encoded = os.fsencode(text) if what == "socket_path" else text.encode("utf-8")
    if b"\0" in encoded:
        raise ValueError(f"{what} contains a NUL character")
    keep.append(ffi.new("char[]", encoded))
    return keep[-1]

# SPDX-License-Identifier: MIT
"""How calls fail: zcp.Error, an OSError with errno and the sentence of zcp_last_error() as strerror.

Where Python has a class of its own for an errno value, what is raised is an instance of that too, so that
`except TimeoutError` and `except zcp.Error` both do what they say.
"""

from __future__ import annotations

import errno
import os

from ._ffi import lib, text_of


class Error(OSError):
    """A call of libzcp failed. errno: as listed for the C function in the manual; strerror: one sentence for a human."""


class WouldBlock(Error, BlockingIOError):
    """EAGAIN: nothing is there, or there is no room, and the call was not to wait. EALREADY: answered before."""


class TimedOut(Error, TimeoutError):
    """ETIMEDOUT: the time has passed."""


class BrokenPipe(Error, BrokenPipeError):
    """EPIPE: the other end of a request has ended."""


class ConnectionRefused(Error, ConnectionRefusedError):
    """ECONNREFUSED: no router listens there."""


class NotFound(Error, FileNotFoundError):
    """ENOENT: no such socket, token or member."""


class AlreadyThere(Error, FileExistsError):
    """EEXIST: it is in this wait set already."""


class PermissionDenied(Error, PermissionError):
    """EACCES, EPERM: no right to the router's socket, or to add such a descriptor."""


_classes = {
    errno.EAGAIN: WouldBlock,
    errno.EALREADY: WouldBlock,
    errno.ETIMEDOUT: TimedOut,
    errno.EPIPE: BrokenPipe,
    errno.ECONNREFUSED: ConnectionRefused,
    errno.ENOENT: NotFound,
    errno.EEXIST: AlreadyThere,
    errno.EACCES: PermissionDenied,
    errno.EPERM: PermissionDenied,
}


def error(number: int, text: str = "") -> Error:
    """The exception for an errno value (positive)."""
    return _classes.get(number, Error)(number, text or os.strerror(number))


def failure(result: int) -> Error:
    """The exception for what a function of libzcp has just returned to this thread."""
    return error(-result, text_of(lib.zcp_last_error()))


def check(result: int) -> int:
    """The result, unless it is a failure."""
    if result < 0:
        raise failure(result)
    return result

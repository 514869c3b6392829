# SPDX-License-Identifier: MIT
"""Wait sets: one call that sleeps until something can be done for any of many."""

from __future__ import annotations

import enum
import itertools
import select
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple, Union

from ._ffi import ffi, lib, nanoseconds
from ._handle import Handle
from .client import Client
from .errors import Error, check
from .events import Listener
from .names import options_of
from .node import Node
from .server import Server
from .subscriber import Subscriber
from .watch import Watch


class ReadyKind(enum.IntEnum):
    """What a member of a wait set is."""

    SUBSCRIBER = 1
    WATCH = 2
    NODE = 3
    FD = 4
    TIMER = 5
    SERVER = 6
    CLIENT = 7
    LISTENER = 8


@dataclass(frozen=True)
class Ready:
    """A member of a wait set that is ready."""

    member: Any
    """The object that was added; of a descriptor and a timer their number"""
    user: Any
    """as given when it was added"""
    events: int
    """as in select.poll: POLLIN: there is something; POLLHUP: there never will be again; of a descriptor what is true of it"""
    kind: int
    """zcp.ReadyKind"""
    expirations: int
    """of a timer, since it was reported last"""


Member = Union[Subscriber, Server, Client, Listener, Watch, Node]

_kinds = {Subscriber: "subscriber", Server: "server", Client: "client", Listener: "listener", Watch: "watch", Node: "node"}


def _kind(member: Any) -> str:
    for class_, name in _kinds.items():
        if isinstance(member, class_):
            return name
    raise TypeError(f"{member!r} cannot be in a wait set; a descriptor goes to add_fd()")


class WaitSet(Handle):
    """Open a wait set. spin: seconds for which it looks at the rings before it goes to sleep, up to 1, for threads that have a cpu
    for themselves.

    Members share the lock of the wait set: it and they are used by one thread at a time, but not while it sleeps. A member that is closed is removed.
    A client is ready for what wait() of it would tell, not for what a call() has kept.

    Raises zcp.Error: EINVAL, EMFILE, ENOSPC, ENOMEM.
    """

    _close_function = "zcp_waitset_close"
    _what = "wait set"

    def __init__(self, *, spin: float = 0) -> None:
        super().__init__()
        keep: list = []
        self._spins = spin > 0
        self._numbers = itertools.count(1)
        self._members: Dict[int, Tuple[Any, Any]] = {}
        c = ffi.new("zcp_waitset **")
        check(lib.zcp_waitset_open(c, options_of("waitset", keep, spin_ns=nanoseconds(spin))))
        self._c = c[0]

    # ---- members ----

    def add(self, member: Member, user: Any = None) -> None:
        """Add a subscriber, server, client, listener or watch: ready until a take finds nothing. Or a node with no_thread: dispatched
        while the wait set waits, and ready once after messages of the router were handled.

        Raises AlreadyThere; zcp.Error: EBUSY it is in another wait set; EINVAL the node has a thread of
        its own; ENOSPC, ENOMEM.
        """
        function = getattr(lib, f"zcp_waitset_add_{_kind(member)}")
        self._enter()
        try:
            member._enter()
            locked = member._lock
            try:
                self._add(member, user, lambda number: function(self._c, member._c, number))
                member._waitset = self
                member._lock = self._lock
            finally:
                locked.release()
        finally:
            self._leave()

    def add_fd(self, fd: Any, events: int = select.POLLIN, user: Any = None) -> None:
        """Add a descriptor (a number, or an object with fileno()): POLLIN, POLLOUT, POLLPRI, POLLRDHUP. Remove it before closing it.

        Raises AlreadyThere; PermissionDenied: a regular file, which is always ready; zcp.Error: EINVAL, EBADF, ELOOP, ENOSPC, ENOMEM.
        """
        number = _fd(fd)
        self._enter()
        try:
            self._add(number, user, lambda key: lib.zcp_waitset_add_fd(self._c, number, events, key))
        finally:
            self._leave()

    def add_timer(self, first: float, interval: float = 0, user: Any = None) -> int:
        """Add a timer: `first` seconds from now, then every `interval`; 0: once, and then it has left the wait set.

        Returns its id. Raises zcp.Error: EMFILE, ENOSPC, ENOMEM.
        """
        key = next(self._numbers)
        timer = self._call(lib.zcp_waitset_add_timer, nanoseconds(first), nanoseconds(interval), ffi.cast("void *", key))
        self._members[key] = (_Timer(timer, not interval), user)
        return timer

    def remove(self, member: Member) -> None:
        """Remove: no later wait reports it. NotFound: it is not in this wait set."""
        function = getattr(lib, f"zcp_waitset_remove_{_kind(member)}")
        self._enter()
        try:
            check(function(self._c, member._c if member._c is not None else ffi.NULL))
            member._waitset = None
            self._drop(member)
        finally:
            self._leave()

    def remove_fd(self, fd: Any) -> None:
        """Remove a descriptor, before it is closed. NotFound: it is not in this wait set."""
        self._call(lib.zcp_waitset_remove_fd, _fd(fd))
        self._drop(_fd(fd))

    def remove_timer(self, timer: int) -> None:
        """Remove a timer. NotFound: it is not in this wait set, or has expired for good."""
        self._call(lib.zcp_waitset_remove_timer, timer)
        self._drop(_Timer(timer, False))

    def _add(self, member: Any, user: Any, function: Any) -> None:
        key = next(self._numbers)
        check(function(ffi.cast("void *", key)))
        self._members[key] = (member, user)

    def _drop(self, member: Any) -> None:
        for key, (other, _) in list(self._members.items()):
            if other is member or (type(other) is type(member) and other == member):
                del self._members[key]

    def _forget(self, member: Any) -> None:
        """A member is about to be closed."""
        try:
            self.remove(member)
        except Error:
            pass
        member._waitset = None

    # ---- waiting ----

    def wait(self, timeout: Optional[float] = None, max: int = 64) -> List[Ready]:
        """Sleep until members are ready; up to `max` of them, 1 at least. timeout: seconds, None for ever, 0 asks.

        What is ready stays ready until it was dealt with. Raises TimedOut; zcp.Error: EINVAL for ever with no member; EBADF a
        descriptor was closed without being removed; ENOMEM.
        """
        c = ffi.new("struct zcp_ready[]", max if max > 0 else 1)
        if timeout is None and not self._members:
            self._call(lib.zcp_waitset_wait, c, max, -1)        # the library says what is wrong

        def wait(waitset: Any, wait_ns: int) -> int:
            return lib.zcp_waitset_wait(waitset, c, max, wait_ns)

        got = self._wait(wait, timeout) if self._spins else self._poll(wait, lib.zcp_waitset_fd, timeout)
        return [self._ready(c[i]) for i in range(got)]

    def _ready(self, c: Any) -> Ready:
        key = int(ffi.cast("uintptr_t", c.user))
        member, user = self._members.get(key, (None, None))
        if isinstance(member, _Timer):
            if member.once:
                del self._members[key]
            member = member.number
        return Ready(member=member, user=user, events=c.events, kind=ReadyKind(c.kind), expirations=c.expirations)

    def fileno(self) -> int:
        """A descriptor that is readable when wait(0) shall be called, until that raises TimedOut. Do not read it."""
        return self._call(lib.zcp_waitset_fd)

    def close(self) -> None:
        """Close. Members are removed, and go on existing."""
        for member, _ in list(self._members.values()):
            if isinstance(member, Handle):
                member._waitset = None
        self._members.clear()
        super().close()


class _Timer:
    """A timer among the members; equal to another one with the same number."""

    def __init__(self, number: int, once: bool) -> None:
        self.number = number
        self.once = once

    def __eq__(self, other: Any) -> bool:
        return self.number == other.number


def _fd(fd: Any) -> int:
    return fd if isinstance(fd, int) else fd.fileno()

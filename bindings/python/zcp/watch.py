# SPDX-License-Identifier: MIT
"""Watching nodes and endpoints come and go."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Optional

from ._ffi import c_string, ffi, lib, text_of
from ._handle import Endpoint
from ._taker import Taker
from .errors import check
from .names import Topic, options_of
from .node import Node


class WatchKind(enum.IntEnum):
    """What has happened."""

    NODE_APPEARED = 1
    NODE_VANISHED = 2
    NODE_UNRESPONSIVE = 3
    NODE_RESPONSIVE = 4
    ENDPOINT_APPEARED = 5
    ENDPOINT_VANISHED = 6
    POOL_DRY = 7
    ROUTER_GONE = 8
    ROUTER_BACK = 9


class Cause(enum.IntEnum):
    """Why it vanished: closed by its owner; its process died; removed by the router; its connection ended but the process lives."""

    CLOSED = 1
    DIED = 2
    EVICTED = 3
    LEFT = 5


class Role(enum.IntEnum):
    """What an endpoint is."""

    PUBLISHER = 1
    SUBSCRIBER = 2
    SERVER = 3
    CLIENT = 4
    NOTIFIER = 5
    LISTENER = 6


@dataclass(frozen=True)
class WatchEvent:
    """One event of a Watch. Where a later library says more than this module knows, kind, cause and role are plain numbers."""

    kind: int
    """zcp.WatchKind"""
    cause: Optional[int]
    """zcp.Cause of what vanished"""
    time_ns: int
    """CLOCK_MONOTONIC, the router's"""
    node: int
    """id"""
    endpoint: int
    """id; 0: the event is about a node"""
    pid: int
    uid: int
    role: Optional[int]
    """zcp.Role of the endpoint"""
    existing: bool
    """was there when the watch opened, or when the router came back"""
    oom_killed: bool
    """DIED: by the kernel's out-of-memory killer"""
    exit_code: Optional[int]
    """DIED: of a process that exited by itself, if it is known"""
    signal: Optional[int]
    """DIED: that ended it, if it is known"""
    lost: int
    """events that were dropped right before this one: taken too late"""
    comm: str
    """DIED: the process's name in the kernel"""
    node_name: str
    topic: Optional[Topic]
    """of the endpoint"""


def _named(kind: Any, value: int) -> Optional[int]:
    try:
        return kind(value) if value else None
    except ValueError:
        return value


def _event(c: Any) -> WatchEvent:
    ended = c.exit_known
    return WatchEvent(
        kind=_named(WatchKind, c.kind) or 0, cause=_named(Cause, c.cause), time_ns=c.time_ns, node=c.node, endpoint=c.endpoint,
        pid=c.pid, uid=c.uid, role=_named(Role, c.role), existing=c.existing, oom_killed=c.oom_killed,
        exit_code=c.exit_code if ended and not c.signal else None, signal=c.signal if ended and c.signal else None, lost=c.lost,
        comm=text_of(c.comm), node_name=text_of(c.node_name),
        topic=Topic(text_of(c.service), text_of(c.instance), text_of(c.event)) if c.endpoint else None)


class Watch(Taker[WatchEvent], Endpoint):
    """Watch nodes and endpoints. pattern: "" for everything, else a topic whose parts may contain * and ?, and whose last parts may
    be missing, as in "radar" or "rad*r/fron?".

    It begins with an APPEARED event (existing is True) for all that is there, unless no_existing. queue: events kept until
    taken; 0: 1024. no_nodes: endpoints only. It can be iterated, `for event in watch` and `async for event in watch`.

    Blocks until the router has answered, 5 s at most. Raises zcp.Error: EINVAL, EDQUOT, ENOMEM, EMFILE, ENOTCONN router gone;
    TimedOut. Its wait() raises ENOTCONN when the node was evicted: nothing will come.
    """

    _open_function = "zcp_watch_open"
    _close_function = "zcp_watch_close"
    _fd_function = "zcp_watch_fd"
    _wait_function = "zcp_watch_wait"
    _what = "watch"

    def __init__(self, node: Node, pattern: str = "", *, queue: int = 0, no_existing: bool = False, no_nodes: bool = False) -> None:
        keep: list = []
        options = options_of("watch", keep, queue=queue, no_existing=no_existing, no_nodes=no_nodes)
        super().__init__(node, c_string(pattern, "pattern", keep), options)

    def _take_one(self) -> WatchEvent:
        c = ffi.new("struct zcp_watch_event *")
        check(lib.zcp_watch_take(self._c, c))
        return _event(c)

# SPDX-License-Identifier: MIT
"""Messages between the processes of one machine, without copying them.

A process joins the router with a Node, and opens publishers and subscribers of topics on it. A publisher writes a message in
shared memory, and subscribers read it there, through a read-only memoryview:

    with zcp.Node("hello") as node:
        publisher = zcp.Publisher(node, "hello/world/greeting")
        with publisher.loan(64) as loan:
            loan.data[:5] = b"hello"
            loan.publish(5)

    with zcp.Node("hello") as node:
        for sample in zcp.Subscriber(node, "hello/world/greeting"):
            with sample:
                print(bytes(sample.data))

Timeouts are seconds, None for ever. Failures are zcp.Error, an OSError. A handle may be used by several threads, which
then wait for each other; Ctrl-C ends a wait within 0.1 s. After os.fork() the child cannot use what its parent has
opened: handles raise zcp.Error with EOWNERDEAD, messages ValueError, and only an array or slice of a message, which nobody can
take away, must not be touched there: its memory is gone.
"""

from ._ffi import lib as _lib
from ._ffi import text_of as _text_of
from .client import Client, RequestLoan, Response
from .errors import (AlreadyThere, BrokenPipe, ConnectionRefused, Error, NotFound, PermissionDenied, TimedOut,
                     WouldBlock)
from .events import Event, Listener, Notifier
from .names import Topic, Type
from .node import Node
from .publisher import HugePages, Loan, Publisher
from .server import Request, ResponseLoan, Server
from .subscriber import Sample, Stats, Subscriber
from .waitset import Ready, ReadyKind, WaitSet
from .watch import Cause, Role, Watch, WatchEvent, WatchKind

__version__ = _text_of(_lib.zcp_version())
"""Version of the libzcp that is loaded."""

NAME_MAX: int = _lib.ZCP_NAME_MAX
"""Longest name of a node, service, instance, event or type, in bytes."""

SEND_MAX: int = _lib.ZCP_SEND_MAX
"""Largest message of Node.send() in bytes."""

__all__ = [
    "AlreadyThere", "BrokenPipe", "Cause", "Client", "ConnectionRefused", "Error", "Event", "HugePages", "Listener",
    "Loan", "NAME_MAX", "Node", "NotFound", "Notifier", "PermissionDenied", "Publisher", "Ready", "ReadyKind",
    "Request", "RequestLoan", "Response", "ResponseLoan", "Role", "SEND_MAX", "Sample", "Server", "Stats", "Subscriber",
    "TimedOut", "Topic", "Type", "WaitSet", "Watch", "WatchEvent", "WatchKind", "WouldBlock",
]

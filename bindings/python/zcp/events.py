# SPDX-License-Identifier: MIT
"""Events: that something has happened, and how often. Nothing overflows, nothing is lost, and nobody waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Optional

from ._ffi import ffi, lib
from ._handle import Endpoint, Identified
from ._taker import Taker
from .errors import check
from .names import TopicLike, c_topic, options_of
from .node import Node


@dataclass(frozen=True, order=True)
class Event:
    """What has happened since it was taken last."""

    id: int
    count: int
    """how often, by whichever notifiers"""


class Notifier(Identified, Endpoint):
    """Open a notifier of `topic`. Topics of events have nothing to do with topics of messages of the same name.

    max_event_id: ids go from 0 to this one, up to 65535; 0: 255. max_listeners: matched at once, up to 4096; 0: 64. Blocks until
    the router has answered, 5 s at most. Raises zcp.Error: EINVAL, EDQUOT, ENOMEM, EMFILE, ENOTCONN router gone; TimedOut.
    """

    _open_function = "zcp_notifier_open"
    _close_function = "zcp_notifier_close"
    _id_function = "zcp_notifier_id"
    _what = "notifier"

    def __init__(self, node: Node, topic: TopicLike, *, max_event_id: int = 0, max_listeners: int = 0) -> None:
        keep: list = []
        options = options_of("notifier", keep, max_event_id=max_event_id, max_listeners=max_listeners)
        super().__init__(node, c_topic(topic, keep), options)

    def notify(self, event_id: int = 0) -> int:
        """Event `event_id` has happened. Never blocks. Returns the number of listeners connected.

        Raises zcp.Error: ERANGE larger than max_event_id.
        """
        return self._call(lib.zcp_notifier_notify, event_id)

    @property
    def listeners(self) -> int:
        """Number of listeners connected now."""
        return self._call(lib.zcp_notifier_listeners)

    def wait(self, listeners: int = 1, timeout: Optional[float] = None) -> int:
        """Wait until at least so many are connected; timeout: seconds, None for ever. Returns their number.

        Raises TimedOut; zcp.Error with ENOTCONN: the node is lost for good.
        """
        return self._wait(lib.zcp_notifier_wait, timeout, listeners)


class Listener(Taker[Event], Identified, Endpoint):
    """Open a listener of `topic`. Of notifiers there it hears what happens from then on, of later ones everything.

    max_event_id: up to 65535; 0: 255; larger ids are not heard. max_notifiers: connected at once, up to 4096; 0: 64. event_ids:
    the ids to listen to; None: all. It can be iterated, `for event in listener` and `async for event in listener`.

    Blocks until the router has answered, 5 s at most. Raises as Notifier; zcp.Error: ERANGE one of event_ids is too large.
    """

    _open_function = "zcp_listener_open"
    _close_function = "zcp_listener_close"
    _fd_function = "zcp_listener_fd"
    _wait_function = "zcp_listener_wait"
    _id_function = "zcp_listener_id"
    _what = "listener"

    def __init__(self, node: Node, topic: TopicLike, *, max_event_id: int = 0, max_notifiers: int = 0,
                 event_ids: Optional[Iterable[int]] = None) -> None:
        keep: list = []
        options = options_of("listener", keep, max_event_id=max_event_id, max_notifiers=max_notifiers)
        if event_ids is not None:
            ids = list(event_ids)
            if not ids:
                raise ValueError("event_ids is empty: nothing would be heard")
            keep.append(ffi.new("uint32_t[]", ids))
            options.event_ids = keep[-1]
            options.n_event_ids = len(ids)
        super().__init__(node, c_topic(topic, keep), options)

    def _take_one(self) -> Event:
        event_id, count = ffi.new("uint32_t *"), ffi.new("uint64_t *")
        check(lib.zcp_listener_take(self._c, event_id, count))
        return Event(event_id[0], count[0])

    @property
    def notifiers(self) -> int:
        """Number of notifiers connected now."""
        return self._call(lib.zcp_listener_notifiers)

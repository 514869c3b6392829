# SPDX-License-Identifier: MIT
"""Topics and types: what a message is about, and what its payload is."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Tuple, Union

from ._ffi import c_string, ffi


class Topic(NamedTuple):
    """What a message is about. Each part: 1 to 100 bytes of UTF-8, no '/', no control characters."""

    service: str
    instance: str
    event: str

    def __str__(self) -> str:
        return "/".join(self)


class Type(NamedTuple):
    """What a payload is; checked when endpoints of a topic meet.

    name: as a part of a topic, but '/' is fine; size and alignment: bytes, 0 where it varies.
    """

    name: str
    size: int = 0
    alignment: int = 0


TopicLike = Union[Topic, Tuple[str, str, str], str]
"""A Topic, a tuple of its parts, or "service/instance/event"."""

TypeLike = Union[Type, Tuple[str, int, int], None]


def c_topic(topic: TopicLike, keep: list) -> Any:
    """A struct zcp_topic * that lives as long as the list `keep`."""
    parts = topic.split("/") if isinstance(topic, str) else tuple(topic)
    if len(parts) != 3:
        raise ValueError(f"a topic has three parts, service/instance/event, and {topic!r} has not")
    keep.append(ffi.new("struct zcp_topic *", [c_string(part, "topic", keep) for part in parts]))
    return keep[-1]


def set_type(target: Any, payload_type: TypeLike, keep: list) -> None:
    """Fill a struct zcp_type of an option struct."""
    if payload_type is None:
        return
    chosen = Type(*payload_type)
    target.name = c_string(chosen.name, "type", keep)
    target.size = chosen.size
    target.alignment = chosen.alignment


def options_of(kind: str, keep: list, timeout: Optional[int] = None, **values: Any) -> Any:
    """A struct zcp_..._options * with its sz and these values; 0, False and None are left alone: they mean the default."""
    options = ffi.new(f"struct zcp_{kind}_options *")
    options.sz = ffi.sizeof(f"struct zcp_{kind}_options")
    for name, value in values.items():
        if name.endswith("type"):
            set_type(getattr(options, name), value, keep)
        elif value:
            setattr(options, name, value)
    if timeout is not None:
        options.timeout = timeout
    keep.append(options)
    return options

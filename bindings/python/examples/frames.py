#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""frames.py send | show: pictures as NumPy arrays that lie in shared memory, at both ends.

Shape and number travel beside the pixels, in the user header. An array keeps the memory of its message, so that nothing can
go wrong; the price is that a loan's arrays have to be gone before it is published, and that a subscriber should not keep
arrays for longer than it needs them (max_held).
"""

import struct
import sys

import numpy

import zcp

TOPIC = "camera/front/frame"
TYPE = zcp.Type("example/frame")
HEADER = struct.Struct("=HHI")      # height, width, number


def paint(pixels, number):
    """Something to look at: a bright column that moves."""
    pixels[:] = 16
    pixels[:, number % pixels.shape[1]] = 255


def send(count=10, shape=(480, 640)):
    with zcp.Node("camera", autostart=True) as node:
        publisher = zcp.Publisher(node, TOPIC, type=TYPE, payload_max=shape[0] * shape[1], header_size=HEADER.size, reliable=True)
        publisher.wait()
        for number in range(count):
            with publisher.loan(shape[0] * shape[1]) as loan:
                pixels = numpy.frombuffer(loan.data, numpy.uint8).reshape(shape)
                paint(pixels, number)
                del pixels
                loan.publish(header=HEADER.pack(*shape, number))


def show(count=10):
    with zcp.Node("viewer", autostart=True) as node:
        subscriber = zcp.Subscriber(node, TOPIC, type=TYPE)
        for sample in subscriber:
            with sample:
                height, width, number = HEADER.unpack(sample.header)
                # what comes from another process is looked at before it is believed
                if height * width != sample.size:
                    continue
                pixels = numpy.frombuffer(sample.data, numpy.uint8).reshape(height, width)
                print(f"frame {number}: {width}x{height}, brightest column {pixels.sum(axis=0).argmax()}", flush=True)
                del pixels
            if number == count - 1:
                return


if __name__ == "__main__":
    if sys.argv[1:] not in (["send"], ["show"]):
        sys.exit("usage: frames.py send | show")
    {"send": send, "show": show}[sys.argv[1]]()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ten greetings, written in shared memory, for whoever listens first. See hello_sub.py."""

import zcp

with zcp.Node("hello-pub", autostart=True) as node:
    publisher = zcp.Publisher(node, "hello/world/greeting", reliable=True)
    publisher.wait()
    for i in range(10):
        text = f"hello number {i}".encode()
        with publisher.loan(len(text)) as loan:
            loan.data[:] = text
            loan.publish()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints ten greetings of hello_pub.py."""

import itertools

import zcp

with zcp.Node("hello-sub", autostart=True) as node:
    for sample in itertools.islice(zcp.Subscriber(node, "hello/world/greeting"), 10):
        with sample:
            print(str(sample.data, "utf-8"), flush=True)

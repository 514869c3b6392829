#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""calculator_async.py serve | ask: requests and responses with asyncio, many at once.

The server thinks about each request in a task of its own, and answers in whatever order they are done.
"""

import asyncio
import struct
import sys

import zcp
import zcp.aio

TOPIC = "math/here/add"
NUMBERS = struct.Struct("=dd")
RESULT = struct.Struct("=d")


async def answer(request):
    with request:
        a, b = NUMBERS.unpack(request.data)
        await asyncio.sleep(0.01)       # what takes time
        request.reply(RESULT.pack(a + b))


async def serve():
    with zcp.Node("adder", autostart=True) as node:
        server = zcp.Server(node, TOPIC, max_held=64)
        print("ready", flush=True)
        tasks = set()
        async for request in server:
            task = asyncio.ensure_future(answer(request))
            tasks.add(task)
            task.add_done_callback(tasks.discard)


async def add(client, a, b):
    with await client.call(NUMBERS.pack(a, b), timeout=5) as response:
        return RESULT.unpack(response.data)[0]


async def ask():
    with zcp.Node("asker", autostart=True) as node:
        client = zcp.aio.Client(node, TOPIC, wait_for_server=True)
        sums = await asyncio.gather(*(add(client, i, i) for i in range(20)))
        print(" ".join(f"{number:g}" for number in sums))


if __name__ == "__main__":
    if sys.argv[1:] not in (["serve"], ["ask"]):
        sys.exit("usage: calculator_async.py serve | ask")
    try:
        asyncio.run({"serve": serve, "ask": ask}[sys.argv[1]]())
    except KeyboardInterrupt:
        pass

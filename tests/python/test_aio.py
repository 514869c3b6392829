# SPDX-License-Identifier: MIT
"""asyncio: one thread waits for everything."""

import asyncio
import contextlib
import errno
import selectors
import threading
import unittest

import zcp
import zcp.aio
from support import DEADLINE, RouterCase

TOPIC = "python/test/aio"


def soon(awaitable):
    return asyncio.wait_for(awaitable, DEADLINE)


class Asyncio(RouterCase):
    def setUp(self):
        super().setUp()
        self.here = self.node()

    def run_async(self, coroutine):
        asyncio.run(soon(coroutine))

    def pair(self):
        publisher = zcp.Publisher(self.here, TOPIC, reliable=True, depth=16)
        subscriber = zcp.Subscriber(self.here, TOPIC)
        publisher.wait(1, 30)
        return publisher, subscriber

    def test_samples(self):
        publisher, subscriber = self.pair()

        def publish():
            for i in range(1000):
                publisher.send(b"%d" % i)

        async def main():
            sender = asyncio.get_running_loop().run_in_executor(None, publish)
            got = []
            async for sample in subscriber:
                with sample:
                    got.append(bytes(sample))
                if len(got) == 1000:
                    break
            self.assertEqual(got, [b"%d" % i for i in range(1000)])
            await sender

        self.run_async(main())

    def test_the_loop_sleeps(self):
        """A handle that nobody waits for is not watched, and one that is costs the loop a turn only when something comes."""
        publisher, subscriber = self.pair()
        turns = []

        class Selector(selectors.EpollSelector):
            def select(self, timeout=None):
                turns.append(len(self.get_map()))
                return super().select(timeout)

        async def main():
            taking = asyncio.ensure_future(subscriber.take_async())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            watched = turns[-1]
            publisher.send(b"a")
            publisher.send(b"b")
            (await taking).release()
            before = len(turns)
            await asyncio.sleep(0.05)       # b is there, and nobody wants it
            self.assertLessEqual(len(turns), before + 3)
            self.assertEqual(turns[-1], watched - 1)
            subscriber.take().release()
            taking = asyncio.ensure_future(subscriber.take_async())
            before = len(turns)
            await asyncio.sleep(0.05)       # nothing is there
            self.assertLessEqual(len(turns), before + 4)
            taking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await taking
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self.assertEqual(turns[-1], watched - 1)

        loop = asyncio.SelectorEventLoop(Selector())
        try:
            loop.run_until_complete(soon(main()))
        finally:
            loop.close()

    def test_many_tasks_one_subscriber(self):
        publisher, subscriber = self.pair()

        async def main():
            tasks = [asyncio.ensure_future(subscriber.take_async()) for _ in range(4)]
            await asyncio.sleep(0)
            for i in range(4):
                publisher.send(b"%d" % i)
                await asyncio.sleep(0)
            got = sorted(bytes(sample) for sample in await asyncio.gather(*tasks))
            self.assertEqual(got, [b"0", b"1", b"2", b"3"])

        self.run_async(main())

    def test_close_ends_it(self):
        _, subscriber = self.pair()

        async def main():
            async def read():
                async for _ in subscriber:
                    self.fail("nothing was published")

            task = asyncio.ensure_future(read())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            subscriber.close()
            await task
            with self.fails(errno.EBADF):
                await subscriber.ready()

        self.run_async(main())

    def test_calls(self):
        async def main():
            server = zcp.Server(self.here, TOPIC, max_held=64)
            client = zcp.aio.Client(self.here, TOPIC)

            async def serve():
                held = []
                async for request in server:
                    held.append(request)
                    if len(held) == 8:      # the last one first
                        for asked in reversed(held):
                            with asked:
                                asked.reply(bytes(asked)[::-1])
                        held.clear()

            task = asyncio.ensure_future(serve())

            async def ask(i):
                with await client.call(b"<%d" % i, 30) as response:
                    return bytes(response)

            for _ in range(10):
                got = await asyncio.gather(*(ask(i) for i in range(16)))
                self.assertEqual(got, [b"%s<" % str(i)[::-1].encode() for i in range(16)])
            self.assertEqual(client._calls, {})
            server.close()
            await task

        self.run_async(main())

    def test_calls_that_are_given_up(self):
        async def main():
            server = zcp.Server(self.here, TOPIC)
            client = zcp.aio.Client(self.here, TOPIC, max_pending=2)
            for _ in range(4):
                with self.fails(errno.ETIMEDOUT, TimeoutError):
                    await client.call(b"x", 0.02)
            for _ in range(4):
                with self.assertRaises(asyncio.TimeoutError):
                    await asyncio.wait_for(client.call(b"x"), 0.02)
            for _ in range(8):
                with server.take() as request:
                    request.reply(b"late")
            asking = asyncio.ensure_future(client.call(b"y"))
            with await server.take_async() as request:
                self.assertEqual(request.data, b"y")
                request.reply(b"1", more=True)
                request.reply(b"2")
            with await asking as response:
                self.assertEqual(response.data, b"1")
            with self.fails(errno.EAGAIN):
                client.take()
            asking = asyncio.ensure_future(client.call(b"z"))
            await asyncio.sleep(0)
            (await server.take_async()).release()
            with self.fails(errno.ENODATA):
                await asking
            asking = asyncio.ensure_future(client.call(b"z"))
            await asyncio.sleep(0)
            server.close()
            with self.fails(errno.EPIPE, BrokenPipeError):
                await asking
            with self.fails(errno.ENOTCONN):
                await client.call(b"x")

        self.run_async(main())

    def test_call_and_take_at_once(self):
        async def main():
            server = zcp.Server(self.here, TOPIC)
            client = zcp.aio.Client(self.here, TOPIC)
            taking = asyncio.ensure_future(client.take_async())
            await asyncio.sleep(0)
            sent = client.send(b"sent")
            asking = asyncio.ensure_future(client.call(b"asked"))
            for _ in range(2):
                with await server.take_async() as request:
                    request.reply(request.data)
            with await asking as response:
                self.assertEqual(response.data, b"asked")
            with await taking as response:
                self.assertEqual((response.id, bytes(response)), (sent, b"sent"))

        self.run_async(main())

    def test_waiting_for_a_server(self):
        async def main():
            client = zcp.aio.Client(self.here, TOPIC, wait_for_server=True)
            with self.fails(errno.ETIMEDOUT):
                await client.call(b"x", 0.03)
            asking = asyncio.ensure_future(client.call(b"x"))
            await asyncio.sleep(0)
            server = zcp.Server(self.here, TOPIC)
            with await server.take_async() as request:
                request.reply(b"late")
            with await asking as response:
                self.assertEqual(response.data, b"late")

        self.run_async(main())

    def test_closing_a_client_with_calls(self):
        async def main():
            server = zcp.Server(self.here, TOPIC)
            client = zcp.aio.Client(self.here, TOPIC)
            asking = [asyncio.ensure_future(client.call(b"x")) for _ in range(3)]
            await asyncio.sleep(0)
            thread = threading.Thread(target=client.close)
            thread.start()
            for call in asking:
                with self.fails(errno.EBADF):
                    await call
            thread.join()
            server.close()

        self.run_async(main())

    def test_as_many_responses_held_as_may_be(self):
        async def main():
            server = zcp.Server(self.here, TOPIC)
            client = zcp.aio.Client(self.here, TOPIC, max_held=1)

            async def serve():
                async for request in server:
                    with request:
                        request.reply(b"x")

            task = asyncio.ensure_future(serve())
            first = await client.call(b"x")
            second = asyncio.ensure_future(client.call(b"x"))
            await asyncio.wait([second], timeout=0.05)
            self.assertFalse(second.done())
            first.release()
            (await second).release()
            server.close()
            await task

        self.run_async(main())

    def test_events_and_watch(self):
        async def main():
            watch = zcp.Watch(self.here, TOPIC, no_existing=True, no_nodes=True)
            notifier = zcp.Notifier(self.here, TOPIC)
            event = await watch.take_async()
            self.assertEqual((event.kind, event.endpoint), (zcp.WatchKind.ENDPOINT_APPEARED, notifier.id))
            listener = zcp.Listener(self.here, TOPIC)
            notifier.wait(1, 30)
            taking = asyncio.ensure_future(listener.take_async())
            await asyncio.sleep(0)
            notifier.notify(5)
            self.assertEqual(await taking, zcp.Event(5, 1))
            watch.close()
            listener.close()

        self.run_async(main())


if __name__ == "__main__":
    unittest.main()

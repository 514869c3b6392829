# SPDX-License-Identifier: MIT
"""Publishers and subscribers: messages that lie where they were written."""

import errno
import sys
import threading
import unittest

import zcp
from support import RouterCase, address_of, mapping_of

TOPIC = "python/test/bytes"


def publish_and_change(size):
    """Child: publishes a message, says where it lies, and changes it on demand, which only shared memory shows."""
    size = int(size)
    ffi = zcp._ffi.ffi
    with zcp.Node("changer") as node:
        publisher = zcp.Publisher(node, TOPIC, payload_max=size, reliable=True)
        publisher.wait(1, 30)
        with publisher.loan(size) as loan:
            loan.data[:] = b"a" * size
            address = address_of(loan.data)
            loan.publish()
        print("published", flush=True)
        sys.stdin.readline()
        ffi.buffer(ffi.cast("char *", address), size)[:] = b"b" * size
        print("changed", flush=True)
        sys.stdin.read()


def publish_for_ever():
    """Child: publishes numbers until it is killed."""
    with zcp.Node("victim") as node:
        publisher = zcp.Publisher(node, TOPIC, payload_max=1000, reliable=True)
        publisher.wait(1, 30)
        n = 0
        while True:
            publisher.send(n.to_bytes(8, "little") * 125)
            n += 1


class Messages(RouterCase):
    def setUp(self):
        super().setUp()
        self.here = self.node()

    def pair(self, publisher_options=None, **subscriber_options):
        publisher = zcp.Publisher(self.here, TOPIC, **(publisher_options or {}))
        subscriber = zcp.Subscriber(self.here, TOPIC, **subscriber_options)
        publisher.wait(1, 30)
        return publisher, subscriber

    def test_a_message_is_read_in_place(self):
        publisher, subscriber = self.pair({"payload_max": 100000})
        with publisher.loan(100000) as loan:
            self.assertFalse(loan.data.readonly)
            loan.data[:5] = b"hello"
            self.assertEqual(loan.publish(5), 1)
        with subscriber.take(30) as sample:
            self.assertEqual(sample.data, b"hello")
            self.assertTrue(sample.data.readonly)
            self.assertEqual((sample.sequence, sample.lost, sample.publisher), (0, 0, publisher.id))
            self.assertGreater(sample.timestamp_ns, 0)
            self.assertIn("memfd:zcp", mapping_of(address_of(sample.data)))
            with self.assertRaises(TypeError):
                sample.data[0] = 1

    def test_a_change_by_another_process_is_seen(self):
        subscriber = zcp.Subscriber(self.here, TOPIC)
        child = self.child("test_pubsub", "publish_and_change", "65536")
        self.assertEqual(child.line(), "published")
        with subscriber.take(30) as sample:
            self.assertEqual(sample.data, b"a" * 65536)
            mapping = mapping_of(address_of(sample.data)).split()
            self.assertEqual(mapping[1], "r--s")
            child.process.stdin.write("\n")
            child.process.stdin.flush()
            self.assertEqual(child.line(), "changed")
            self.assertEqual(sample.data, b"b" * 65536)
        self.assertEqual(child.end(), 0)

    def test_a_publisher_is_killed(self):
        subscriber = zcp.Subscriber(self.here, TOPIC)
        child = self.child("test_pubsub", "publish_for_ever")
        first = subscriber.take(30)
        child.kill()
        n = first.sequence
        while subscriber.stats().departed == 0:
            try:
                with subscriber.take(0.1) as sample:
                    n += 1
                    self.assertEqual((sample.sequence, sample.lost), (n, 0))
                    self.assertEqual(sample.data, n.to_bytes(8, "little") * 125)
            except TimeoutError:
                pass
        self.assertEqual(subscriber.stats().died, 1)
        self.assertEqual(first.data, bytes(8) * 125)
        first.release()

    def test_send_and_headers(self):
        publisher, subscriber = self.pair({"header_size": 8})
        publisher.send(b"with", b"12345678")
        publisher.send(memoryview(b"without"))
        with publisher.loan(4) as loan:
            loan.publish(0, header=b"abcdefgh")
        with self.assertRaises(ValueError):
            publisher.send(b"", b"short")
        taken = [subscriber.take(30) for _ in range(3)]
        self.assertEqual([(bytes(s), s.header) for s in taken],
                         [(b"with", b"12345678"), (b"without", bytes(8)), (b"", b"abcdefgh")])
        for sample in taken:
            sample.release()

    def test_batches(self):
        publisher, subscriber = self.pair({"payload_max": 16}, max_held=8)
        loans = publisher.loan_batch(16, 3)
        self.assertEqual(len(loans), 3)
        for i, loan in enumerate(loans):
            loan.data[0] = i
        kept = loans[1].data[:]
        with self.assertRaises(BufferError):
            publisher.publish_batch(loans, [1, 1, 1])
        del kept
        self.assertEqual(publisher.publish_batch(loans, [1, 1, 1]), 3)
        self.assertFalse(any(loan.open for loan in loans))
        subscriber.wait(30)
        samples = subscriber.take_batch(8)
        self.assertEqual([bytes(sample) for sample in samples], [b"\0", b"\1", b"\2"])
        for sample in reversed(samples):
            sample.release()

    def test_nothing_there(self):
        _, subscriber = self.pair()
        with self.fails(errno.EAGAIN, BlockingIOError):
            subscriber.take()
        with self.fails(errno.ETIMEDOUT, TimeoutError):
            subscriber.take(0.01)
        with self.fails(errno.ETIMEDOUT, TimeoutError):
            subscriber.wait(0)
        self.assertIsNone(subscriber.latest())
        with self.assertRaises(ValueError):
            subscriber.take(-1)

    def test_iteration_ends_with_close(self):
        publisher, subscriber = self.pair({"reliable": True})
        seen = []
        thread = threading.Thread(target=lambda: seen.extend(bytes(sample) for sample in subscriber))
        thread.start()
        for i in range(2000):
            publisher.send(b"%d" % i)
        closing = threading.Thread(target=lambda: (last.wait(30), subscriber.close()))
        last = threading.Event()
        closing.start()
        while len(seen) < 2000 and thread.is_alive():
            thread.join(0.01)
        last.set()
        thread.join(30)
        closing.join(30)
        self.assertFalse(thread.is_alive() or closing.is_alive())
        self.assertEqual(seen, [b"%d" % i for i in range(2000)])

    def test_latest(self):
        publisher, subscriber = self.pair({"history": 1}, history=1, lossy=True)
        for i in range(10):
            publisher.send(b"%d" % i)
        for _ in range(2):
            with subscriber.latest() as value:
                self.assertEqual(value.data, b"9")

    def test_types(self):
        publisher = zcp.Publisher(self.here, TOPIC, type=("a", 8, 8))
        with self.fails(errno.EPROTOTYPE):
            zcp.Subscriber(self.here, TOPIC, type=zcp.Type("b", 8, 8))
        publisher.close()

    def test_options_are_judged(self):
        with self.fails(errno.EINVAL):
            zcp.Publisher(self.here, TOPIC, history=5, depth=2)
        with self.assertRaises(ValueError):
            zcp.Publisher(self.here, "only/two")
        with self.fails(errno.EINVAL):
            zcp.Publisher(self.here, ("", "b", "c"))
        with self.assertRaises(ValueError):
            zcp.Publisher(self.here, ("a\0", "b", "c"))
        with self.assertRaises(TypeError):
            zcp.Publisher(self.here, TOPIC, no_such_option=1)

    def test_growth(self):
        publisher, subscriber = self.pair({"payload_max": 100, "grow": True})
        with publisher.loan(1 << 20) as loan:
            loan.data[-1] = 7
            loan.publish()
        with subscriber.take(30) as sample:
            self.assertEqual((len(sample), sample.data[-1]), (1 << 20, 7))
        with self.fails(errno.EMSGSIZE):
            zcp.Publisher(self.here, TOPIC, payload_max=100).send(bytes(101))

    def test_a_reliable_publisher_waits(self):
        publisher, subscriber = self.pair({"reliable": True, "timeout": 0, "depth": 4})
        for _ in range(4):
            publisher.send(b"x")
        with publisher.loan(1) as loan:
            with self.fails(errno.EAGAIN, BlockingIOError):
                for _ in range(1000):
                    publisher.send(b"x")
        del loan
        subscriber.take().release()


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: MIT
"""Memory that cannot outlive its message: releases, slices, arrays, threads, forks, the garbage collector."""

import array
import errno
import gc
import itertools
import os
import select
import signal
import threading
import traceback
import unittest
import warnings

import zcp
from support import RouterCase, address_of, descriptors, eventually, segments

try:
    import numpy
except ImportError:
    numpy = None

TOPIC = "python/test/memory"
SIZE = 100000


class Samples(RouterCase):
    def setUp(self):
        super().setUp()
        self.here = self.node()
        self.publisher = zcp.Publisher(self.here, TOPIC, payload_max=SIZE)
        self.subscriber = zcp.Subscriber(self.here, TOPIC, max_held=2)
        self.publisher.wait(1, 30)

    def publish(self, n=1):
        for i in range(n):
            self.publisher.send(bytes([i]) * SIZE)

    def test_use_after_release(self):
        self.publish()
        sample = self.subscriber.take(30)
        data = sample.data
        sample.release()
        sample.release()
        self.assertTrue(sample.released)
        for use in (lambda: data[0], lambda: bytes(data), lambda: sample.data, lambda: bytes(sample), lambda: len(sample)):
            with self.assertRaises(ValueError):
                use()
        self.assertIn("released", repr(sample))

    def held(self):
        """How many samples are held: as many as it takes to be told that there are too many."""
        self.publish(3)
        taken = []
        try:
            while True:
                taken.append(self.subscriber.take(0))
        except zcp.Error as failed:
            self.assertEqual(failed.errno, errno.ENOBUFS)
        return 2 - len(taken)

    def test_given_back(self):
        self.assertEqual(self.held(), 0)
        self.publish(2)
        a, b = self.subscriber.take(), self.subscriber.take()
        with self.fails(errno.ENOBUFS):
            self.subscriber.take()
        with self.fails(errno.ENOBUFS):
            self.subscriber.wait(30)
        a.release()
        self.assertEqual(self.held(), 1)
        del b
        self.assertEqual(self.held(), 0)

    def test_a_slice_holds_it(self):
        self.publish()
        with self.subscriber.take(30) as sample:
            part = sample.data[10:20]
        self.assertEqual(self.held(), 1)
        self.assertEqual(part, bytes(10))
        part.release()
        del part
        self.assertEqual(self.held(), 0)

    def test_an_array_holds_it(self):
        if numpy is None:
            self.skipTest("no NumPy")
        self.publish()
        with self.subscriber.take(30) as sample:
            pixels = numpy.frombuffer(sample.data, numpy.uint8).reshape(100, -1)
            self.assertEqual(pixels.ctypes.data, address_of(sample.data))
            self.assertFalse(pixels.flags.writeable)
        with self.assertRaises(ValueError):
            sample.data
        self.assertEqual(self.held(), 1)
        corner = pixels[:2, :2]
        del pixels
        self.subscriber.close()
        self.publisher.close()
        self.here.close()
        self.assertEqual(int(corner.sum()), 0)
        del corner, sample

    def test_a_cast_holds_it(self):
        self.publish()
        with self.subscriber.take(30) as sample:
            numbers = sample.data.cast("I")
        self.assertEqual((self.held(), numbers[1]), (1, 0))
        del numbers, sample
        self.assertEqual(self.held(), 0)

    def test_samples_survive_everything(self):
        self.publish()
        sample = self.subscriber.take(30)
        self.here.close()
        self.stop_router(signal.SIGKILL)
        self.assertEqual(sample.data, bytes(SIZE))
        sample.release()
        self.start_router()

    def test_released_by_another_thread(self):
        waiting = threading.Event()
        received = []

        def receive():
            waiting.set()
            for sample in self.subscriber:
                received.append(sample.sequence)
                queue.append(sample)
                del sample

        queue = []
        thread = threading.Thread(target=receive)
        thread.start()
        waiting.wait(30)
        for i in range(300):
            self.publish()
            eventually(lambda: queue, "the sample is there")
            queue.pop()     # the last reference: given back here, while the other thread waits
        self.subscriber.close()
        thread.join(30)
        self.assertEqual(received, list(range(300)))

    def test_iteration_holds_nothing(self):
        with zcp.Subscriber(self.here, TOPIC, max_held=1) as subscriber:
            self.publisher.wait(2, 30)
            self.publish(3)
            seen = []
            for sample in subscriber:
                seen.append(sample.data[0])
                if len(seen) == 3:
                    break
                del sample      # else ENOBUFS
            self.assertEqual(seen, [0, 1, 2])
            del sample

    def test_in_a_cycle(self):
        self.publish()
        knot = [self.subscriber.take(30)]
        knot.append(knot)
        del knot
        gc.collect()
        self.assertEqual(self.held(), 0)

    def test_wait_does_not_spin(self):
        self.publisher.send(b"x")
        self.subscriber.fileno()
        self.subscriber.take(30).release()      # the bell has rung, and nobody has seen EAGAIN
        self.assertEqual(select.select([self.subscriber], [], [], 0)[0], [self.subscriber])
        with self.fails(errno.ETIMEDOUT):
            self.subscriber.wait(0.02)
        self.assertEqual(select.select([self.subscriber], [], [], 0)[0], [])


class Loans(RouterCase):
    def setUp(self):
        super().setUp()
        self.here = self.node()
        self.publisher = zcp.Publisher(self.here, TOPIC, payload_max=SIZE, max_loans=2)
        self.subscriber = zcp.Subscriber(self.here, TOPIC)
        self.publisher.wait(1, 30)

    def test_ends(self):
        with self.publisher.loan(8) as loan:
            data = loan.data
            loan.publish()
            with self.assertRaises(ValueError):
                loan.publish()
        with self.assertRaises(ValueError):
            data[0] = 1
        for _ in range(5):      # more than max_loans
            with self.publisher.loan(8) as loan:
                self.assertTrue(loan.open)
            self.assertFalse(loan.open)
        for _ in range(5):
            self.publisher.loan(8)
        held = [self.publisher.loan(8) for _ in range(2)]
        with self.fails(errno.ENOBUFS):
            self.publisher.loan(8)
        del held
        with self.subscriber.take(30) as sample:
            self.assertEqual(sample.data, bytes(8))
        with self.fails(errno.EAGAIN):
            self.subscriber.take()

    def test_not_while_others_can_write(self):
        loan = self.publisher.loan(SIZE)
        for other in (loan.data[5:10], loan.data.cast("I"), memoryview(loan.data)):
            with self.assertRaises(BufferError):
                loan.publish()
            self.assertTrue(loan.open)
            loan.data[:1] = b"x"
            del other
        self.assertEqual(loan.publish(), 1)
        self.subscriber.take(30).release()

    def test_not_while_an_array_can_write(self):
        if numpy is None:
            self.skipTest("no NumPy")
        loan = self.publisher.loan(SIZE)
        pixels = numpy.frombuffer(loan.data, numpy.uint8)
        pixels[:] = 7
        with self.assertRaises(BufferError):
            loan.publish()
        del pixels
        loan.publish()
        with self.subscriber.take(30) as sample:
            self.assertEqual(sample.data, bytes([7]) * SIZE)

    def test_a_failed_publish_leaves_it_open(self):
        loan = self.publisher.loan(8)
        loan.data[:] = b"12345678"
        with self.fails(errno.EMSGSIZE):
            loan.publish(9)
        with self.assertRaises(ValueError):
            loan.publish(header=b"12345678")
        self.assertEqual(loan.data, b"12345678")
        loan.publish(4)
        with self.subscriber.take(30) as sample:
            self.assertEqual(sample.data, b"1234")

    def test_a_slice_outlives_the_node(self):
        with self.publisher.loan(SIZE) as loan:
            part = loan.data[:4]
        self.publisher.close()
        self.here.close()
        self.assertTrue(self.here.closed)
        part[:] = b"gone"       # still ours
        self.assertEqual(part, b"gone")
        self.assertGreater(segments(), self._before[1])
        del part, loan
        self.assertEqual(segments(), self._before[1])

    def test_whatever_has_a_buffer(self):
        for data in (b"ab", bytearray(b"ab"), memoryview(b"xaby")[1:3], array.array("B", b"ab")):
            self.publisher.send(data)
            with self.subscriber.take(30) as sample:
                self.assertEqual(sample.data, b"ab")
        for wrong in ("text", 5, memoryview(b"abcd")[::2]):
            with self.assertRaises((TypeError, BufferError, ValueError)):
                self.publisher.send(wrong)


class Ends(RouterCase):
    def test_closed(self):
        node = zcp.Node("test")
        publisher, subscriber = zcp.Publisher(node, TOPIC), zcp.Subscriber(node, TOPIC)
        node.close()
        for call in (node.wait, node.dispatch, node.fileno, lambda: node.send(TOPIC, b""), lambda: publisher.send(b""),
                     lambda: publisher.loan(1), subscriber.take, subscriber.fileno, lambda: publisher.id,
                     lambda: zcp.Publisher(node, TOPIC)):
            with self.fails(errno.EBADF):
                call()
        self.assertTrue(publisher.closed and subscriber.closed)
        self.assertEqual(list(subscriber), [])
        node.close()

    def test_forgotten(self):
        before = descriptors()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            zcp.Node("test")
            gc.collect()
        self.assertEqual([warning.category for warning in caught], [ResourceWarning])
        self.assertEqual(descriptors(), before)

    def test_in_a_cycle(self):
        """The garbage collector ends them in any order, and weak references do not help it."""
        for order, with_messages in itertools.product(range(4), (False, True)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                node = zcp.Node("test")
                publisher, subscriber, waitset = zcp.Publisher(node, TOPIC, payload_max=SIZE), zcp.Subscriber(node, TOPIC), zcp.WaitSet()
                waitset.add(subscriber)
                publisher.wait(1, 30)
                publisher.send(bytes(SIZE))
                sample, loan = subscriber.take(30), publisher.loan(SIZE)
                things = [node, publisher, subscriber, waitset]
                if with_messages:
                    things += [sample, loan, sample.data[:5], loan.data[:5]]
                things = things[order:] + things[:order]
                things.append(things)
                for thing in (node, publisher, subscriber, waitset):
                    thing.things = things
                del node, publisher, subscriber, waitset, sample, loan, thing, things
                gc.collect()
            self.assertEqual((descriptors(), segments()), self._before)

    def test_many_handles_leave_nothing(self):
        with zcp.Node("test") as node:
            for _ in range(20):
                subscriber = zcp.Subscriber(node, TOPIC)
                subscriber.fileno()
                publisher = zcp.Publisher(node, TOPIC)
                publisher.wait(1, 30)
                publisher.send(b"x")
                self.assertEqual(bytes(subscriber.take(30)), b"x")

    def test_fork(self):
        node = self.node()
        publisher = zcp.Publisher(node, TOPIC, payload_max=SIZE)
        subscriber = zcp.Subscriber(node, TOPIC)
        publisher.wait(1, 30)
        publisher.send(bytes(SIZE))
        sample, loan = subscriber.take(30), publisher.loan(SIZE)
        data, room = sample.data, loan.data
        locked, done = threading.Event(), threading.Event()
        self.addCleanup(done.set)

        def keep_the_lock():
            with subscriber._lock:
                locked.set()
                done.wait(30)

        thread = threading.Thread(target=keep_the_lock)
        thread.start()
        locked.wait(30)
        child = os.fork()
        if not child:
            status = 1
            try:
                for call in (lambda: publisher.send(b""), subscriber.take, subscriber.wait, node.wait, subscriber.fileno):
                    with self.fails(errno.EOWNERDEAD):
                        call()
                for call in (lambda: data[0], lambda: room[0], lambda: sample.data):
                    with self.assertRaises(ValueError):
                        call()
                sample.release()
                loan.discard()
                node.close()
                self.assertEqual(descriptors(), self._before[0])
                with zcp.Node("child") as own:
                    zcp.Subscriber(own, "python/test/child").close()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        done.set()
        thread.join(30)
        self.assertEqual(data, bytes(SIZE))     # the parent has noticed nothing
        sample.release()
        loan.publish()
        subscriber.take(30).release()


if __name__ == "__main__":
    unittest.main()

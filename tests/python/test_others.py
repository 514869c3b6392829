# SPDX-License-Identifier: MIT
"""Events, watches, wait sets, descriptors, messages through the router, and the router's restart."""

import errno
import os
import select
import signal
import threading
import unittest

import zcp
from support import RouterCase, eventually

TOPIC = "python/test/other"


def die():
    """Child: opens a publisher, and ends by a signal."""
    node = zcp.Node("victim")
    publisher = zcp.Publisher(node, TOPIC)
    os.kill(os.getpid(), signal.SIGKILL)
    publisher.close()


class Others(RouterCase):
    def setUp(self):
        super().setUp()
        self.here = self.node()

    def test_events(self):
        notifier = zcp.Notifier(self.here, TOPIC, max_event_id=1000)
        listener = zcp.Listener(self.here, TOPIC, max_event_id=1000, event_ids=[3, 700])
        self.assertEqual(notifier.wait(1, 30), 1)
        self.assertEqual((notifier.listeners, listener.notifiers), (1, 1))
        with self.fails(errno.EAGAIN):
            listener.take()
        for event_id in (3, 4, 700, 3):
            self.assertEqual(notifier.notify(event_id), 1)
        self.assertEqual(sorted([listener.take(30), listener.take(30)]), [zcp.Event(3, 2), zcp.Event(700, 1)])
        with self.fails(errno.EAGAIN):
            listener.take()
        with self.fails(errno.ERANGE):
            notifier.notify(1001)
        with self.fails(errno.ERANGE):
            zcp.Listener(self.here, TOPIC, event_ids=[256])
        with self.assertRaises(ValueError):
            zcp.Listener(self.here, TOPIC, event_ids=[])
        self.assertNotEqual(notifier.id, listener.id)

    def test_watch(self):
        watch = zcp.Watch(self.here, "python/*")
        child = self.child("test_others", "die")
        seen = []
        for event in watch:
            seen.append(event)
            if event.kind == zcp.WatchKind.NODE_VANISHED:
                break
        kinds = [event.kind for event in seen]
        self.assertIn(zcp.WatchKind.ENDPOINT_APPEARED, kinds)
        opened = seen[kinds.index(zcp.WatchKind.ENDPOINT_APPEARED)]
        self.assertEqual((str(opened.topic), opened.role, opened.pid, opened.node_name, opened.existing, opened.cause),
                         (TOPIC, zcp.Role.PUBLISHER, child.process.pid, "victim", False, None))
        gone = seen[-1]
        self.assertEqual((gone.cause, gone.topic, gone.exit_code), (zcp.Cause.DIED, None, None))
        self.assertIn(gone.signal, (signal.SIGKILL, None))      # where the kernel tells it
        child.process.wait(30)
        with zcp.Watch(self.here) as all_there:
            self.assertTrue(all_there.take(30).existing)
        with self.fails(errno.EINVAL):
            zcp.Watch(self.here, "a/b/c/d")

    def test_wait_set(self):
        subscriber = zcp.Subscriber(self.here, TOPIC)
        listener = zcp.Listener(self.here, TOPIC)
        publisher, notifier = zcp.Publisher(self.here, TOPIC), zcp.Notifier(self.here, TOPIC)
        publisher.wait(1, 30)
        notifier.wait(1, 30)
        r, w = os.pipe()
        with zcp.WaitSet() as waitset:
            waitset.add(subscriber, "messages")
            waitset.add(listener)
            waitset.add_fd(r, user=7)
            with self.fails(errno.EEXIST, FileExistsError):
                waitset.add(subscriber)
            with self.fails(errno.ETIMEDOUT, TimeoutError):
                waitset.wait(0)
            publisher.send(b"x")
            (ready,) = waitset.wait(30)
            self.assertEqual((ready.member, ready.user, ready.kind, ready.events),
                             (subscriber, "messages", zcp.ReadyKind.SUBSCRIBER, select.POLLIN))
            subscriber.take().release()
            with self.fails(errno.EAGAIN):
                subscriber.take()
            notifier.notify(1)
            os.write(w, b"x")
            eventually(lambda: {ready.member for ready in waitset.wait(30)} == {listener, r})
            self.assertEqual(len(waitset.wait(30, max=1)), 1)
            os.read(r, 1)
            listener.take()
            timer = waitset.add_timer(0.001, 0.001, "tick")
            while True:
                ticks = [ready for ready in waitset.wait(30) if ready.user == "tick"]
                if ticks:
                    break
            self.assertEqual((ticks[0].member, ticks[0].kind), (timer, zcp.ReadyKind.TIMER))
            self.assertGreaterEqual(ticks[0].expirations, 1)
            waitset.remove_timer(timer)
            with self.fails(errno.ENOENT):
                waitset.remove_timer(timer)
            once = waitset.add_timer(0)
            eventually(lambda: [ready.member for ready in waitset.wait(30)] == [once])
            with self.fails(errno.ENOENT):
                waitset.remove_timer(once)
            waitset.remove_fd(r)
            waitset.remove(listener)
            subscriber.close()      # and has left it
            with self.fails(errno.EINVAL):
                waitset.wait()
            with self.assertRaises(TypeError):
                waitset.add(publisher)
            waitset.add(listener)
        with zcp.WaitSet(spin=0.0001) as another:
            another.add(listener)
            notifier.notify(2)
            self.assertEqual(another.wait(30)[0].member, listener)
        os.close(r)
        os.close(w)

    def test_wait_set_beside_other_threads(self):
        subscribers = [zcp.Subscriber(self.here, f"python/test/{i}") for i in range(5)]
        publishers = [zcp.Publisher(self.here, f"python/test/{i}", reliable=True) for i in range(5)]
        for publisher in publishers:
            publisher.wait(1, 30)
        got = {subscriber: 0 for subscriber in subscribers}
        with zcp.WaitSet() as waitset:
            for subscriber in subscribers:
                waitset.add(subscriber)

            def publish():
                for _ in range(100):
                    for publisher in publishers:
                        publisher.send(b"x")

            thread = threading.Thread(target=publish)
            thread.start()
            while sum(got.values()) < 500:
                for ready in waitset.wait(30):
                    for sample in ready.member.take_batch(4):
                        got[ready.member] += 1
            thread.join()
        self.assertEqual(set(got.values()), {100})

    def test_no_thread(self):
        node = self.node("quiet", no_thread=True)
        subscriber = zcp.Subscriber(node, TOPIC)
        publisher = zcp.Publisher(self.here, TOPIC)
        sent = threading.Thread(target=lambda: (publisher.wait(1, 30), publisher.send(b"x")))
        sent.start()
        with subscriber.take(30) as sample:     # which dispatches
            self.assertEqual(sample.data, b"x")
        sent.join()
        self.assertGreaterEqual(node.dispatch(), 0)
        with zcp.WaitSet() as waitset:
            waitset.add(node)
            other = zcp.Subscriber(self.here, TOPIC)
            self.assertFalse(other.closed)

    def test_descriptors_are_handed_over(self):
        other = self.node("other")
        publisher, subscriber = zcp.Publisher(self.here, TOPIC), zcp.Subscriber(other, TOPIC)
        publisher.wait(1, 30)
        r, w = os.pipe()
        token = self.here.offer_fd(w)
        os.close(w)
        publisher.send(token.to_bytes(8, "little"))
        with subscriber.take(30) as sample:
            taken = other.take_fd(sample.publisher, int.from_bytes(sample.data, "little"), 30)
        os.write(taken, b"through")
        self.assertEqual(os.read(r, 100), b"through")
        self.assertFalse(os.get_inheritable(taken))
        self.here.withdraw_fd(token)
        with self.fails(errno.ENOENT, FileNotFoundError):
            self.here.withdraw_fd(token)
        with self.fails(errno.ENOENT):
            other.take_fd(publisher.id, token, 30)
        with self.fails(errno.EBADF):
            self.here.offer_fd(9999)
        os.close(r)
        os.close(taken)

    def test_send(self):
        subscriber = zcp.Subscriber(self.here, TOPIC)
        self.assertEqual(self.here.send("python/test/nobody", b"x"), 0)
        self.assertEqual(self.here.send(TOPIC, b"through the router"), 1)
        with subscriber.take(30) as sample:
            self.assertEqual(sample.data, b"through the router")
        with self.fails(errno.EMSGSIZE):
            self.here.send(TOPIC, bytes(zcp.SEND_MAX + 1))

    def test_the_router_restarts(self):
        publisher, subscriber = zcp.Publisher(self.here, TOPIC), zcp.Subscriber(self.here, TOPIC)
        publisher.wait(1, 30)
        before = self.here.id
        self.stop_router(signal.SIGKILL)
        publisher.send(b"without")
        with subscriber.take(30) as sample:
            self.assertEqual(sample.data, b"without")
        self.start_router()
        self.here.wait(30)
        self.assertEqual(self.here.id, before)
        self.stop_router()
        with self.fails(errno.ETIMEDOUT):
            eventually(lambda: self.here.wait(0))
        with zcp.Node("early", wait_for_router=True) as early:
            with self.fails(errno.ETIMEDOUT):
                early.wait(0)
            self.start_router()
            early.wait(30)
            self.assertTrue(early.id)

    def test_no_router(self):
        with self.assertRaises((FileNotFoundError, ConnectionRefusedError)):
            zcp.Node("test", socket_path=self.directory + "/none")
        with self.fails(errno.EINVAL):
            zcp.Node("a/b")


if __name__ == "__main__":
    unittest.main()

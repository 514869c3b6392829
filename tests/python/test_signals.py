# SPDX-License-Identifier: MIT
"""Ctrl-C and other signals in the midst of waits."""

import os
import signal
import subprocess
import sys
import threading
import unittest

import zcp
from support import DEADLINE, RouterCase

TOPIC = "python/test/signals"


def wait_in(which):
    """Child: waits for ever in one of the calls that can; interrupted, it closes what it has and says so."""
    node = zcp.Node("waits", no_thread=which == "no_thread")
    waitset = zcp.WaitSet()
    subscriber, client = zcp.Subscriber(node, TOPIC), zcp.Client(node, TOPIC)
    waitset.add(subscriber)
    server = zcp.Server(node, TOPIC) if which == "call" else None
    if server:
        client.connect(1, DEADLINE)
    publisher = zcp.Publisher(node, TOPIC + "-nobody")
    call = {
        "take": lambda: subscriber.take(None),
        "iterate": lambda: list(subscriber),
        "no_thread": lambda: subscriber.wait(None),
        "call": lambda: client.call(b"x"),
        "connect": lambda: client.connect(1),
        "publisher": lambda: publisher.wait(1),
        "waitset": lambda: waitset.wait(),
        "listener": lambda: zcp.Listener(node, TOPIC).wait(),
    }[which]
    handled = []
    signal.signal(signal.SIGUSR1, lambda *_: (handled.append(publisher.subscribers), os.write(1, b"handled\n")))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        os.write(1, b"waiting\n")  # not print(), which a handler must not interrupt with its own
        call()
    except KeyboardInterrupt:
        waitset.close()
        node.close()
        print(f"interrupted {handled}", flush=True)


class Signals(RouterCase):
    def interrupt(self, which):
        child = self.child("test_signals", "wait_in", which)
        self.assertEqual(child.line(), "waiting")
        child.process.send_signal(signal.SIGUSR1)       # a handler that calls into the library, and the wait goes on
        self.assertEqual(child.line(), "handled")
        child.process.send_signal(signal.SIGINT)
        self.assertEqual(child.line(), "interrupted [0]")
        self.assertEqual(child.end(), 0)

    def test_interrupted(self):
        for which in ("take", "iterate", "no_thread", "call", "connect", "publisher", "waitset", "listener"):
            with self.subTest(which):
                self.interrupt(which)

    def test_exit_with_everything_open(self):
        """A program that just ends, with messages held and a thread that waits, ends well and says nothing."""
        program = f"""
import sys, threading, warnings
warnings.simplefilter("ignore")
import zcp
node = zcp.Node("careless")
publisher, subscriber = zcp.Publisher(node, "{TOPIC}"), zcp.Subscriber(node, "{TOPIC}")
publisher.wait(1, 30)
publisher.send(b"x")
sample = subscriber.take(30)
part = sample.data[:1]
loan = publisher.loan(8)
threading.Thread(target=subscriber.wait, daemon=True).start()
"""
        in_a_function = f"""
import warnings
warnings.simplefilter("ignore")
import zcp
def main():
    node, waitset = zcp.Node("careless"), zcp.WaitSet()
    subscriber, client = zcp.Subscriber(node, "{TOPIC}"), zcp.Client(node, "{TOPIC}")
    waitset.add(subscriber)     # a cycle
    waitset.add(client)
    raise SystemExit
main()
"""
        for program in (program, in_a_function) * 3:
            done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=DEADLINE, check=False)
            self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_closed_by_another_thread(self):
        with zcp.Node("test") as node:
            for wait in (lambda s: s.take(None), lambda s: s.wait(30)):
                subscriber = zcp.Subscriber(node, TOPIC)
                failures = []

                def run():
                    try:
                        wait(subscriber)
                    except zcp.Error as failed:
                        failures.append(failed.strerror)

                thread = threading.Thread(target=run)
                thread.start()
                subscriber.close()
                thread.join(DEADLINE)
                self.assertEqual(failures, ["this subscriber is closed"])


if __name__ == "__main__":
    unittest.main()

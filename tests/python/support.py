# SPDX-License-Identifier: MIT
"""What the tests of the Python module share: a router of their own, children, deadlines, and a look for leaks."""

import contextlib
import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import zcp

# What is started in the background of a shell ignores it, and so would children.
signal.signal(signal.SIGINT, signal.default_int_handler)


DEADLINE = 30
"""Seconds after which a condition is held to be never fulfilled."""


def eventually(condition, what="condition"):
    """Wait until condition() is true; returns what it returned."""
    end = time.monotonic() + DEADLINE
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"not fulfilled within {DEADLINE} s: {what}")
        time.sleep(0.01)


def descriptors():
    """How many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


def segments():
    """How many memory files of zcp this process has mapped."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return sum("memfd:zcp" in line for line in maps)


def address_of(view):
    """Where the memory of a view is."""
    return int(zcp._ffi.ffi.cast("uintptr_t", zcp._ffi.ffi.from_buffer(view)))


def mapping_of(address):
    """The line of /proc/self/maps that an address lies in."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        for line in maps:
            first, last = (int(part, 16) for part in line.split()[0].split("-"))
            if first <= address < last:
                return line
    return ""


class Child:
    """A Python process that runs a function of a test module: `module.function(*arguments)`, strings all."""

    def __init__(self, module, function, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"import {module}, sys; {module}.{function}(*sys.argv[1:])", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})

    def line(self):
        """Its next line of output; AssertionError if it has ended."""
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the child has ended: {self.process.wait(DEADLINE)}")
        return line.rstrip("\n")

    def kill(self):
        self.process.kill()
        self.process.wait(DEADLINE)

    def end(self):
        """Closes its input and returns its exit status."""
        self.process.stdin.close()
        try:
            return self.process.wait(DEADLINE)
        finally:
            self.kill()
            self.process.stdout.close()


class RouterCase(unittest.TestCase):
    """A router for each test, which shall leave nothing behind: no descriptor, no mapping."""

    def setUp(self):
        self.directory = tempfile.mkdtemp()
        os.chmod(self.directory, 0o700)
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.socket = os.path.join(self.directory, "router.sock")
        os.environ["ZCP_ROUTER"] = self.socket
        self.start_router()
        self.addCleanup(self.stop_router)
        gc.collect()
        self._before = descriptors(), segments()
        self.addCleanup(self._look_for_leaks)

    def start_router(self):
        self.router = subprocess.Popen([os.environ["ZCP_ROUTER_BIN"], "--quiet"], stdin=subprocess.DEVNULL)
        eventually(self._router_answers, "the router answers")

    def _router_answers(self):
        with contextlib.suppress(zcp.Error):
            zcp.Node("probe").close()
            return True
        self.assertIsNone(self.router.poll(), "the router has ended")
        return False

    def stop_router(self, how=signal.SIGTERM):
        self.router.send_signal(how)
        self.router.wait(DEADLINE)

    def _look_for_leaks(self):
        gc.collect()
        self.assertEqual((descriptors(), segments()), self._before, "descriptors and mappings are left")

    def node(self, name="test", **options):
        """A node that is closed at the end of the test."""
        node = zcp.Node(name, **options)
        self.addCleanup(node.close)
        return node

    def child(self, module, function, *arguments):
        child = Child(module, function, *arguments)
        self.addCleanup(child.end)
        return child

    @contextlib.contextmanager
    def fails(self, number, class_=zcp.Error):
        """The block raises zcp.Error with this errno, and of this class, with a sentence."""
        with self.assertRaises(class_) as caught:
            yield caught
        self.assertIsInstance(caught.exception, zcp.Error)
        self.assertEqual(caught.exception.errno, number)
        self.assertTrue(caught.exception.strerror)

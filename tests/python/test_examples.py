# SPDX-License-Identifier: MIT
"""The examples do what they say, beside each other and beside those in C."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import unittest

try:
    import numpy
except ImportError:
    numpy = None

from support import DEADLINE, RouterCase

EXAMPLES = pathlib.Path(os.environ["top_srcdir"]) / "bindings/python/examples"


class Examples(RouterCase):
    def start(self, *command):
        """Starts an example, NAME.py or the path of a program, and ends it with the test."""
        if command[0].endswith(".py"):
            command = [sys.executable, "-W", "error", str(EXAMPLES / command[0]), *command[1:]]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def output(self, process):
        out = process.communicate(timeout=DEADLINE)[0].splitlines()
        self.assertEqual(process.returncode, 0)
        return out

    def test_hello(self):
        greetings = [f"hello number {i}" for i in range(10)]
        receiver = self.start("hello_sub.py")
        self.assertEqual(self.output(self.start("hello_pub.py")), [])
        self.assertEqual(self.output(receiver), greetings)

    def test_the_tool_reads_it(self):
        receiver = self.start(os.environ.get("ZCP_BIN", "zcp"), "sub", "--raw", "hello/world/greeting")
        self.output(self.start("hello_pub.py"))
        self.assertEqual(self.output(receiver), ["".join(f"hello number {i}" for i in range(10))])

    def pages(self):
        """The Python in the manual and in README.md, a program each."""
        page = (EXAMPLES / "../../../man/zcp-python.7").read_text(encoding="utf-8")
        programs = [block.replace("\\e", "\\") for block in re.findall(r"^\.Bd -literal\n(.*?)^\.Ed", page, re.M | re.S)]
        readme = (EXAMPLES / "../../../README.md").read_text(encoding="utf-8")
        return programs, re.findall(r"^```python\n(.*?)^```", readme, re.M | re.S)

    def test_the_manual(self):
        manual, readme = self.pages()
        self.assertEqual((len(manual), len(readme)), (4, 1))
        for program in manual[2:]:      # functions, which want a node
            code = compile(program, "zcp-python.7", "exec")
            if numpy or "numpy" not in program:
                exec(code, {})
        publish, receive = manual[:2]
        for program, count in ((receive, 1), (readme[0], 1)):
            receiver = self.start(sys.executable, "-u", "-c", program)
            self.output(self.start(sys.executable, "-c", publish))
            self.assertEqual([receiver.stdout.readline() for _ in range(count)], ["hello, world\n"])
            receiver.kill()
            receiver.wait()

    def test_frames(self):
        if numpy is None:
            self.skipTest("no NumPy")
        viewer = self.start("frames.py", "show")
        self.output(self.start("frames.py", "send"))
        self.assertEqual(self.output(viewer), [f"frame {i}: 640x480, brightest column {i}" for i in range(10)])

    def test_calculator(self):
        server = self.start("calculator_async.py", "serve")
        self.assertEqual(server.stdout.readline(), "ready\n")
        for _ in range(2):
            self.assertEqual(self.output(self.start("calculator_async.py", "ask")), [" ".join(str(2 * i) for i in range(20))])
        server.send_signal(signal.SIGINT)
        self.assertEqual(self.output(server), [])


if __name__ == "__main__":
    unittest.main()

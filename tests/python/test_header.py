# SPDX-License-Identifier: MIT
"""The module agrees with the header: what cffi made of it with what the C compiler does, and all of it is in use."""

import os
import pathlib
import re
import shlex
import subprocess
import tempfile
import unittest

import zcp
import zcp.aio
from zcp._ffi import ffi, lib, nanoseconds

SOURCE = pathlib.Path(os.environ["top_srcdir"])
HEADER = SOURCE / "include/zcp/zcp.h"


def without_comments():
    return re.sub(r"/\*.*?\*/", " ", HEADER.read_text(encoding="utf-8"), flags=re.S)


class Header(unittest.TestCase):
    def test_layouts_and_constants(self):
        """sizeof, offsetof and each constant, as the compiler has them."""
        expected, lines = [], []

        def ask(expression, value):
            expected.append((expression, value))
            lines.append(f'printf("%lld\\n", (long long)({expression}));')

        text = without_comments()
        structs = re.findall(r"struct (zcp_\w+) \{", text)
        self.assertEqual(sorted(structs), sorted(s for s in ffi.list_types()[1] if ffi.typeof(f"struct {s}").fields is not None))
        for struct in structs:
            name = f"struct {struct}"
            ask(f"sizeof({name})", ffi.sizeof(name))
            for field, kind in ffi.typeof(name).fields:
                ask(f"offsetof({name}, {field})", ffi.offsetof(name, field))
                ask(f"sizeof((({name} *)0)->{field})", ffi.sizeof(kind.type))
        constants = sorted(set(re.findall(r"\bZCP_[A-Z0-9_]+\b(?=\s*=)|(?<=#define )ZCP_(?!ZCP_H\b)[A-Z0-9_]+", text)))
        self.assertGreater(len(constants), 30)
        for constant in constants:
            ask(constant, getattr(lib, constant))
        self.assertGreater(len(expected), 150)
        program = "#include <stdio.h>\n#include <zcp/zcp.h>\nint main(void) {\n" + "\n".join(lines) + "\nreturn 0; }\n"
        with tempfile.TemporaryDirectory() as directory:
            binary = os.path.join(directory, "ask")
            subprocess.run([*shlex.split(os.environ.get("CC") or "cc"), "-x", "c", "-", f"-I{SOURCE}/include", "-o", binary],
                           input=program, text=True, check=True)
            answers = subprocess.run([binary], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        self.assertEqual([(expression, int(answer)) for (expression, _), answer in zip(expected, answers)], expected)

    def test_every_function_is_there_and_in_use(self):
        functions = set(re.findall(r"\b(zcp_\w+)\(", without_comments()))
        package = " ".join(path.read_text(encoding="utf-8") for path in pathlib.Path(zcp.__file__).parent.glob("*.py")
                          if path.name != "_abi.py")
        # by a name that is put together: see WaitSet
        package += " ".join(f"zcp_waitset_{verb}_{kind}" for verb in ("add", "remove") for kind in zcp.waitset._kinds.values())
        used = set(re.findall(r"\bzcp_\w+", package))
        # one sample each is enough; and a copy is what bytes() makes
        spared = {"zcp_sample_release_batch", "zcp_sample_copy", "zcp_client_call", "zcp_request_reply"}
        for function in sorted(functions):
            self.assertTrue(callable(getattr(lib, function)), function)
            self.assertEqual(function in used, function not in spared, function)

    def test_enumerations(self):
        for ours, theirs, prefix in ((zcp.HugePages, "hugepages", "HUGE_"), (zcp.WatchKind, "watch_kind", "WATCH_"),
                                     (zcp.Cause, "cause", "CAUSE_"), (zcp.Role, "role", ""), (zcp.ReadyKind, "ready_kind", "READY_")):
            self.assertEqual({f"ZCP_{prefix}{item.name}": item.value for item in ours},
                             {name: value for value, name in ffi.typeof(f"enum zcp_{theirs}").elements.items()})

    def test_options_are_all_offered(self):
        """Each field of each option struct is a keyword of the class's constructor."""
        import inspect
        renamed = {"n_event_ids": None, "sz": None, "spin_ns": "spin"}
        for kind, class_ in (("node", zcp.Node), ("publisher", zcp.Publisher), ("subscriber", zcp.Subscriber),
                             ("server", zcp.Server), ("client", zcp.Client), ("notifier", zcp.Notifier),
                             ("listener", zcp.Listener), ("watch", zcp.Watch), ("waitset", zcp.WaitSet)):
            keywords = inspect.signature(class_).parameters
            for field, _ in ffi.typeof(f"struct zcp_{kind}_options").fields:
                name = renamed.get(field, field)
                if name and not name.startswith("reserved"):
                    self.assertIn(name, keywords, class_)

    def test_everything_is_documented(self):
        for name, thing in [("aio.Client", zcp.aio.Client)] + [(name, getattr(zcp, name)) for name in zcp.__all__]:
            if isinstance(thing, (int, str)):
                continue
            self.assertTrue(thing.__doc__, name)
            for member, value in vars(thing).items():
                if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                    self.assertTrue(value.__doc__, f"{name}.{member}")

    def test_timeouts(self):
        self.assertEqual([nanoseconds(seconds) for seconds in (None, 0, 1.5, 1e-12, 1e300, float("inf"))],
                         [-1, 0, 1500000000, 1, -1, -1])
        for wrong in (-1, float("nan")):
            with self.assertRaises(ValueError):
                nanoseconds(wrong)

    def test_versions(self):
        self.assertRegex(zcp.__version__, r"^\d+\.\d+\.\d+$")

    def test_errors(self):
        import errno
        from zcp.errors import error
        for number, class_ in ((errno.EAGAIN, BlockingIOError), (errno.ETIMEDOUT, TimeoutError), (errno.EPIPE, BrokenPipeError),
                               (errno.ENOENT, FileNotFoundError), (errno.EACCES, PermissionError),
                               (errno.ECONNREFUSED, ConnectionRefusedError), (errno.EEXIST, FileExistsError), (errno.EDQUOT, OSError)):
            made = error(number, "a sentence")
            self.assertIsInstance(made, class_)
            self.assertIsInstance(made, zcp.Error)
            self.assertEqual((made.errno, made.strerror), (number, "a sentence"))


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: MIT
"""Clients and servers: every request ends exactly once, and who asked hears it."""

import errno
import sys
import threading

import unittest

import zcp
from support import RouterCase, address_of, eventually, mapping_of

TOPIC = "python/test/ask"


def serve(behaviour):
    """Child: a server that echoes, or takes a request and never answers."""
    with zcp.Node("server") as node, zcp.Server(node, TOPIC, payload_max=1 << 20) as server:
        print("open", flush=True)
        for request in server:
            print("taken", flush=True)
            if behaviour == "hold":
                sys.stdin.read()
                return
            with request:
                request.reply(request.data)


class Calls(RouterCase):
    def setUp(self):
        super().setUp()
        self.here = self.node()

    def serve(self, answer, **options):
        """A server in a thread, until the end of the test; answer(request) for each."""
        server = zcp.Server(self.here, TOPIC, **options)

        def run():
            for request in server:
                with request:
                    answer(request)

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join, 30)
        self.addCleanup(server.close)
        return server

    def test_there_and_back(self):
        server = self.serve(lambda request: request.reply(bytes(request.data).upper()))
        with zcp.Client(self.here, TOPIC) as client:
            self.assertEqual(client.servers, 1)
            for _ in range(100):
                with client.call(b"hello", 30) as response:
                    self.assertEqual(response.data, b"HELLO")
                    self.assertEqual((response.server, response.more, response.error), (server.id, False, None))
                    self.assertGreater(response.timestamp_ns, 0)

    def test_in_place_both_ways(self):
        seen = []

        def answer(request):
            seen.append((mapping_of(address_of(request.data)).split()[1], request.size, request.client))
            with request.loan(100000) as loan:
                loan.data[:3] = b"yes"
                loan.send(3)

        self.serve(answer, payload_max=100000)
        with zcp.Client(self.here, TOPIC, payload_max=100000) as client:
            with client.loan(100000) as loan:
                loan.data[:1] = b"?"
                request = loan.send()
            with client.take(30) as response:
                self.assertEqual((response.id, bytes(response)), (request, b"yes"))
                self.assertIn("memfd:zcp", mapping_of(address_of(response.data)))
            self.assertEqual(seen, [("r--s", 100000, client.id)])

    def test_several_responses(self):
        def answer(request):
            for i in range(3):
                request.reply(b"%d" % i, more=i < 2)
            with self.fails(errno.EALREADY, BlockingIOError):
                request.reply(b"again")

        self.serve(answer)
        with zcp.Client(self.here, TOPIC) as client:
            request = client.send(b"")
            got = []
            for response in client:
                with response:
                    self.assertEqual(response.id, request)
                    got.append((bytes(response), response.more))
                    if not response.more:
                        break
            self.assertEqual(got, [(b"0", True), (b"1", True), (b"2", False)])
            with client.call(b"", 30) as response:
                self.assertEqual(response.data, b"0")
            with self.fails(errno.EAGAIN):
                client.take()

    def test_others_are_kept_for_take(self):
        self.serve(lambda request: request.reply(request.data))
        with zcp.Client(self.here, TOPIC) as client:
            first = client.send(b"first")
            with client.call(b"second", 30) as response:
                self.assertEqual(response.data, b"second")
            client.wait(30)
            with client.take() as response:
                self.assertEqual((response.id, bytes(response)), (first, b"first"))

    def test_many_threads_one_client(self):
        self.serve(lambda request: request.reply(request.data))
        wrong = []
        with zcp.Client(self.here, TOPIC, wait_for_server=True) as client:
            def ask(name):
                for i in range(30):
                    question = b"%d %d" % (name, i)
                    with client.call(question, 60) as response:
                        if response.data != question:
                            wrong.append(bytes(response))

            threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            self.assertFalse(any(thread.is_alive() for thread in threads))
        self.assertEqual(wrong, [])

    def test_nobody_answers(self):
        server = zcp.Server(self.here, TOPIC)
        with zcp.Client(self.here, TOPIC, max_pending=1) as client:
            for _ in range(3):      # each leaves its place
                with self.fails(errno.ETIMEDOUT, TimeoutError):
                    client.call(b"x", 0.02)
            for _ in range(3):
                with server.take(30) as request:
                    self.assertTrue(request.expired and request.deadline_ns)
            request = client.send(b"y")
            client.forget(request)
            with self.fails(errno.ENOENT, FileNotFoundError):
                client.forget(request)
            self.assertEqual(client.send(b"z", one_way=True), 0)
            taken = [server.take(30) for _ in range(2)]
            self.assertTrue(taken[1].one_way)
            for held in taken:
                held.reply(b"nobody hears it")
                held.release()
            with self.assertRaises(ValueError):
                taken[0].reply(b"released")

    def test_released_unanswered(self):
        self.serve(lambda request: None)
        with zcp.Client(self.here, TOPIC) as client:
            with self.fails(errno.ENODATA):
                client.call(b"x", 30)
            client.send(b"x")
            with client.take(30) as response:
                self.assertEqual(response.error.errno, errno.ENODATA)
                with self.fails(errno.ENODATA):
                    response.data

    def test_a_server_is_killed(self):
        child = self.child("test_call", "serve", "hold")
        self.assertEqual(child.line(), "open")
        with zcp.Client(self.here, TOPIC) as client:
            killer = threading.Thread(target=lambda: (child.line(), child.kill()))
            killer.start()
            with self.fails(errno.EPIPE, BrokenPipeError):
                client.call(b"x")
            killer.join()

    def test_a_process_answers(self):
        child = self.child("test_call", "serve", "echo")
        self.assertEqual(child.line(), "open")
        with zcp.Client(self.here, TOPIC, payload_max=1 << 20) as client:
            question = bytes(range(256)) * 4096
            with client.call(question, 30) as response:
                self.assertEqual(response.data, question)
        child.kill()

    def test_waiting_for_a_server(self):
        with zcp.Client(self.here, TOPIC) as client:
            with self.fails(errno.ENOTCONN):
                client.call(b"x", 30)
        with zcp.Client(self.here, TOPIC, wait_for_server=True) as client:
            with self.fails(errno.ETIMEDOUT, TimeoutError):
                client.call(b"x", 0.02)
            with self.fails(errno.ETIMEDOUT, TimeoutError):
                client.connect(1, 0.02)
            later = threading.Thread(target=lambda: self.serve(lambda request: request.reply(b"late")))
            later.start()
            with client.call(b"x", 30) as response:
                self.assertEqual(response.data, b"late")
            later.join()

    def test_a_request_outlives_its_loan_only(self):
        server = zcp.Server(self.here, TOPIC, payload_max=100000)
        with zcp.Client(self.here, TOPIC) as client:
            client.send(b"x")
            request = server.take(30)
            loan = request.loan(100000)
            request.release()       # it is given back after the loan
            loan.data[:2] = b"ok"
            loan.send(2)
            with client.take(30) as response:
                self.assertEqual(response.data, b"ok")
            client.send(b"x")
            request = server.take(30)
            loan = request.loan(100000)
            view = loan.data[:10]
            del loan
            request.release()
            server.close()
            view[:] = b"0123456789"     # nobody else's
            self.here.close()
            self.assertEqual(view, b"0123456789")
            del view

    def test_one_server(self):
        server = zcp.Server(self.here, TOPIC)
        with self.fails(errno.EADDRINUSE):
            zcp.Server(self.here, TOPIC)
        self.assertEqual(server.clients, 0)
        with zcp.Client(self.here, TOPIC):
            eventually(lambda: server.clients == 1)
        server.close()


if __name__ == "__main__":
    unittest.main()

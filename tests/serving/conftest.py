"""The worker in this process, with one thread, before an application of the test's."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from selectors import DefaultSelector
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

from valohai_registries.serving.worker import BufferingWorker

App = Callable[..., Any]


class Client:
    """A socket that speaks bytes."""

    def __init__(self, address: tuple[str, int], receive: int = 0) -> None:
        self.socket = socket.socket()
        if receive:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.socket.settimeout(10)
        self.socket.connect(address)

    def send(self, data: bytes) -> Client:
        self.socket.sendall(data)
        return self

    def answer(self) -> bytes:
        """Head and body of one answer that names its length."""
        told = b""
        while b"\r\n\r\n" not in told:
            if not (more := self.socket.recv(65536)):
                return told
            told += more
        head, _, body = told.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += self.socket.recv(65536)
        assert len(body) == length, "more than one answer was read"
        return head + b"\r\n\r\n" + body

    def rest(self) -> bytes:
        """Everything until the server ends it."""
        told = b""
        while more := self.socket.recv(65536):
            told += more
        return told


class Running:
    """A worker with one thread of each kind, if no more are set: what holds it holds everyone
    of its kind."""

    def __init__(self, app: App, **settings: Any) -> None:
        config = Config()
        given = {"threads": 1, "worker_connections": 500, "sendfile": False, "keepalive": 30}
        for name, value in (given | settings).items():
            config.set(name, value)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=500)
        self.address = self.listener.getsockname()
        logger = Logger(config)
        self.worker = BufferingWorker(0, os.getppid(), [self.listener], None, 30, config, logger)
        self.worker.wsgi = app
        self.worker.tpool = self.worker.get_thread_pool()
        self.worker.poller = DefaultSelector()
        self.worker.method_queue.init()
        self.clients: list[Client] = []
        self._loop = threading.Thread(target=self.worker.run)
        self._loop.start()

    def client(self, receive: int = 0) -> Client:
        made = Client(self.address, receive)
        self.clients.append(made)
        return made

    def stop(self) -> None:
        for client in self.clients:
            client.socket.close()
        self.worker.handle_exit(15, None)
        self._loop.join(20)
        assert not self._loop.is_alive()
        self.worker.tmp.close()
        assert (self.worker.nr_conns, self.worker.held) == (0, 0)


def echo(environ: dict[str, Any], start_response: App) -> list[bytes]:
    """Its path and body."""
    body = environ["PATH_INFO"].encode() + b" " + environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(app: App = echo, **settings: Any) -> Running:
        started.append(Running(app, **settings))
        return started[-1]

    yield start
    for running in started:
        running.stop()

"""A gunicorn worker that gives a request to a thread once it is whole.

gunicorn's own threads read requests themselves, so that 70 clients which send one byte and
wait hold all of them. Here the main thread reads, of as many clients as there are, and
sends what a client is slow to take; gunicorn's parser still judges every head, and its
arbiter starts, watches and stops the processes. Written against gunicorn 27's `gthread`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import selectors
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from orgs.postgresql.pool import pool
from orgs.seen import logs

from . import memory
from .connection import HEAD_SECONDS, Connection, State, Unreadable, within

MOST_HELD = 64 * 1024 * 1024  # bytes that clients have sent, or not yet taken, of a process
LARGE = 256 * 1024  # bytes of a request, after which there is memory to give back
ENDING_SECONDS = 5.0  # to take an answer that came before the request was read
QUEUED_SECONDS = 1.0  # after so long without a thread, look whether the client is there
_SWEEP_SECONDS = 0.5
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN)
_CLIENTS_TURN = (State.IDLE, State.HEAD, State.BODY)
_TOLD = {
    400: ("Bad Request", "invalid_request", "The request isn't well formed. Check the client."),
    408: ("Request Timeout", "invalid_request", "The request came too slowly. Send it again."),
    411: ("Length Required", "invalid_request", "The body has no length. Send a Content-Length."),
    413: (
        "Content Too Large",
        "too_large",
        "What was sent is too large to be read: files have 10 MB at most. Nothing was changed.",
    ),
    503: ("Service Unavailable", "busy", "Too much is being sent. Try again in a few seconds."),
}

# What has threads of its own: what workers wait for; who looks after us, who may wait for the
# database; and who asks whether we live, which waits for nothing.
LOGINS = frozenset({"/api/v0/docker-login/", "/api/v0/docker-login/outcome/"})
HEALTH = frozenset({"/healthz", "/metrics"})
LIFE = "/livez"

# Where the application isn't asked there is no page of its own.
_PAGE = (
    '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">'
    "<title>{reason}</title><h1>{reason}</h1><p>{told}</p>"
    '<p><a href="/">Valohai Registries</a></p></html>\n'
)

Step = Callable[[Connection], None]


class Threads:
    """Threads for logins, and others for all else: no page keeps a login waiting for one."""

    def __init__(self, most: int) -> None:
        others = max(1, most * 3 // 8)
        self._logins = _threads(max(1, most - others), "logins")
        self._others = _threads(others, "others")
        self._health = _threads(2, "health")
        self._life = _threads(1, "life")

    def submit(self, handle: Callable[[Connection], bool], conn: Connection) -> Future[bool]:
        path, posted = conn.request.path, conn.request.method == "POST"
        if path in LOGINS and posted:
            return self._logins.submit(handle, conn)
        if posted:
            return self._others.submit(handle, conn)
        pool = self._health if path in HEALTH else self._life if path == LIFE else self._others
        return pool.submit(handle, conn)

    def shutdown(self, wait: bool) -> None:
        for threads in (self._logins, self._others, self._health, self._life):
            threads.shutdown(wait)


def _threads(most: int, kind: str) -> ThreadPoolExecutor:
    """Threads that take the database's connections of their own kind's share."""
    return ThreadPoolExecutor(most, kind, initializer=pool.belong, initargs=(kind,))


class BufferingWorker(ThreadWorker):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections: set[Connection] = set()
        self.held = 0
        self._swept = 0.0
        self._much_freed = False

    def init_process(self) -> None:
        """Have the kernel wait for a client's first bytes, where it can: they are there then
        when the connection is, and the poller need not be asked."""
        if hasattr(socket, "TCP_DEFER_ACCEPT"):
            for listener in self.sockets:
                with contextlib.suppress(OSError):  # of another family
                    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
        memory.few_arenas()
        super().init_process()

    def get_thread_pool(self) -> Threads:
        return Threads(self.cfg.threads)

    # The main thread: the client's turn.

    def accept(self, listener: Any) -> None:
        try:
            raw, client = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._make_room()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        conn = Connection(self.cfg, raw, client, listener.getsockname())
        self.connections.add(conn)
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        self._on(conn, self._read)

    def _on(self, conn: Connection, step: Step, _raw: Any = None) -> None:
        """Go a step; whatever a client does ends its own connection only."""
        if conn not in self.connections:
            return
        try:
            step(conn)
        except OSError:
            self._close(conn)
        except Exception:
            self.log.exception("A connection met an error of ours")
            self._close(conn)

    def _read(self, conn: Connection) -> None:
        if not conn.receive():
            return self._close(conn)
        if conn.state is State.IDLE and conn.inbox:
            conn.turn(State.HEAD, HEAD_SECONDS)
        self._advance(conn)

    def _advance(self, conn: Connection) -> None:
        """Give it to a thread if its request is whole, else wait for more."""
        try:
            whole = conn.whole()
        except Unreadable as unread:
            if not conn.head_alone():
                return self._refuse(conn, unread.status)
            whole = True
        except Exception as error:  # any of gunicorn's: it has an answer for each
            self.handle_error(conn.request, conn, conn.client, error)
            return self._answered_unread(conn)
        if whole:
            self._watch(conn, 0)
            conn.turn(State.THREAD, 0)
            self._account(conn)
            return self.enqueue_req(conn)
        if conn.request is not None and conn.state is not State.BODY:
            conn.turn(State.BODY, within(conn.length))
            if conn.request._expected_100_continue:
                conn.request._expected_100_continue = False
                conn.interim(b"HTTP/1.1 100 Continue\r\n\r\n")
        while self._account(conn) > MOST_HELD:
            if self._drop_the_slowest() is conn:
                return None
        self._watch(conn, selectors.EVENT_READ, self._read)

    # A thread of the pool: ours.

    def handle(self, conn: Connection) -> bool:
        if time.monotonic() > conn.since + QUEUED_SECONDS and conn.gone():
            return False  # whoever asked has given up; don't work for nobody
        try:
            return bool(self.handle_request(conn.request, conn))
        except StopIteration:
            return False  # an error in the middle of an answer, which is logged already
        except TimeoutError as error:
            logs.cut_off(str(error))
        except OSError as error:
            if error.errno not in _GONE:
                self.log.exception("Socket error processing request.")
        except Exception as error:
            self.handle_error(conn.request, conn, conn.client, error)
        return False

    # The main thread again: what the client hasn't taken yet, and the next request.

    def finish_request(self, conn: Connection, fs: Future[bool]) -> None:
        if conn not in self.connections:
            return
        self._much_freed |= conn.length > LARGE
        conn.keep = not fs.cancelled() and fs.exception() is None and fs.result()
        conn.turn(State.WRITING, within(len(conn.outbox)))
        self._on(conn, self._write)

    def _write(self, conn: Connection) -> None:
        sent = conn.flush()
        self._account(conn)
        if not sent:
            if self.held > MOST_HELD:
                return self._close(conn)
            return self._watch(conn, selectors.EVENT_WRITE, self._write)
        self._watch(conn, 0)
        if not conn.keep:
            return self._end(conn)
        conn.next()
        if conn.inbox:  # sent along with the request before
            conn.turn(State.HEAD, HEAD_SECONDS)
            return self._advance(conn)
        conn.turn(State.IDLE, float(self.cfg.keepalive) if self.alive else STOP_KEEPALIVE_LINGER)
        self._watch(conn, selectors.EVENT_READ, self._read)

    def _refuse(self, conn: Connection, status: int) -> None:
        """Answer by ourselves, in the API's shape where it is the API's."""
        logs.unread(status, conn.client[0] if isinstance(conn.client, tuple) else None)
        reason, code, told = _TOLD[status]
        kind, content = "text/html; charset=utf-8", _PAGE.format(reason=reason, told=told)
        if conn.request is not None and conn.request.path.startswith("/api/v0/"):
            kind, content = "application/json", json.dumps({"detail": told, "code": code})
        again = "Retry-After: 5\r\n" if status in (413, 503) else ""
        conn.sendall(
            f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: {kind}\r\n"
            f"Cache-Control: no-store\r\n{again}Content-Length: {len(content)}\r\n\r\n"
            f"{content}".encode()
        )
        self._answered_unread(conn)

    def _answered_unread(self, conn: Connection) -> None:
        """Send, then let the client find the answer: a close with bytes unread would reset
        the connection, and the answer be lost."""
        conn.flush()
        conn.inbox.clear()
        with contextlib.suppress(OSError):
            conn.raw.shutdown(socket.SHUT_WR)
        conn.turn(State.ENDING, ENDING_SECONDS)
        self._account(conn)
        self._watch(conn, selectors.EVENT_READ, self._discard)

    def _end(self, conn: Connection) -> None:
        if conn.unread or (conn.receive() and conn.inbox):
            return self._answered_unread(conn)
        self._close(conn)

    def _discard(self, conn: Connection) -> None:
        more = conn.receive()
        conn.inbox.clear()
        if not more:
            self._close(conn)

    # Bounds.

    def murder_keepalived(self, force: bool = False) -> None:
        """End those whose time is over; the loop calls it each time round."""
        now = time.monotonic()
        if not force and now < self._swept + _SWEEP_SECONDS:
            return
        self._swept = now
        if self._much_freed:
            memory.give_back()
            self._much_freed = False
        for conn in list(self.connections):
            if conn.state is State.THREAD:
                continue
            if force:
                self._close(conn)
            elif now >= conn.deadline:
                self._on(conn, self._expire)

    def _expire(self, conn: Connection) -> None:
        if conn.state is State.BODY or (conn.state is State.HEAD and conn.inbox):
            return self._refuse(conn, 408)
        self._close(conn)

    def murder_pending(self) -> None:
        """There are none: nothing is given to a thread to wait."""

    def _cap_keepalive(self, deadline: float) -> None:
        """Who is stopped waits so long for the clients whose turn it is."""
        for conn in self.connections:
            if conn.state in _CLIENTS_TURN:
                conn.deadline = min(conn.deadline, deadline)

    def _make_room(self) -> None:
        """Close the connection that has kept us waiting longest."""
        waiting = [conn for conn in self.connections if conn.state is not State.THREAD]
        if waiting:
            self._close(min(waiting, key=lambda conn: conn.since))

    def _drop_the_slowest(self) -> Connection:
        """Refuse, of those that hold memory and aren't answered yet, whoever has kept us
        waiting longest; there is one where too much is held."""
        holding = [c for c in self.connections if c.state is not State.THREAD and c.accounted]
        slowest = min(holding, key=lambda conn: conn.since)
        if slowest.state is State.BODY:
            self._refuse(slowest, 503)
        else:
            self._close(slowest)
        return slowest

    def _account(self, conn: Connection) -> int:
        """Bring the sum of bytes up to date, and give it."""
        size = conn.size()
        self.held += size - conn.accounted
        conn.accounted = size
        return self.held

    def _watch(self, conn: Connection, events: int, step: Step | None = None) -> None:
        """Have the poller call `step` at these events; without one, not at all."""
        if step is None:
            if conn.watched:
                self.poller.unregister(conn.raw)
        elif conn.watched:
            self.poller.modify(conn.raw, events, partial(self._on, conn, step))
        else:
            self.poller.register(conn.raw, events, partial(self._on, conn, step))
        conn.watched = step is not None

    def _close(self, conn: Connection) -> None:
        with contextlib.suppress(OSError, KeyError, ValueError):
            self._watch(conn, 0)
        self.connections.discard(conn)
        self.nr_conns -= 1
        self.held -= conn.accounted
        conn.raw.close()

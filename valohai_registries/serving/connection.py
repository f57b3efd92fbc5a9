"""One client's connection: what it has sent, what it has yet to take, and until when."""

from __future__ import annotations

import enum
import io
import select
import socket
import threading
import time
from typing import Any

from gunicorn import http
from gunicorn.http.body import LengthReader
from gunicorn.http.errors import LimitRequestHeaders, NoMoreData

HEAD_END = b"\r\n\r\n"
MOST_HEAD = 32 * 1024  # bytes of a request line and its headers
MOST_BODY = 21 * 1024 * 1024  # bytes; the largest file of a form, and the form around it
HEAD_SECONDS = 10.0
# A body and an answer may take so long, and what its bytes take at the slowest pace.
PATIENCE = 20.0  # seconds
SLOWEST = 32 * 1024  # bytes a second
# Of an answer that is made while it is sent, an export, so much waits for a slow client.
MOST_UNSENT = 1024 * 1024  # bytes
_CHUNK = 256 * 1024


def within(length: int) -> float:
    """Seconds that so many bytes may take, either way."""
    return PATIENCE + length / SLOWEST


class State(enum.Enum):
    """What the connection waits for; the first three are the client's turn to send."""

    IDLE = "the next request"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"
    THREAD = "a thread, which answers"
    WRITING = "the client to take the answer"
    ENDING = "the client to end"


class Unreadable(Exception):
    """A request whose body isn't read; `status` is what to answer."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Connection:
    """A socket that never blocks, and stands for one where gunicorn writes to it.

    The main thread reads until a request is whole, a thread of the pool answers it, and
    the main thread sends what the client hasn't taken by then. One owner at a time: no
    locks.
    """

    def __init__(self, cfg: Any, raw: socket.socket, client: Any, server: Any) -> None:
        raw.setblocking(False)
        self.cfg = cfg
        self.raw = raw
        self.client = client
        self.server = server
        self.inbox = bytearray()
        self.outbox = bytearray()
        self.state = State.HEAD
        self.since = time.monotonic()
        self.deadline = self.since + HEAD_SECONDS
        self.watched = False  # by the poller
        self.accounted = 0  # bytes, in the worker's sum
        self.keep = False
        self.unread = False  # whether the client may still be sending what isn't read
        self._begin()

    def _begin(self) -> None:
        self.request: Any = None
        self.length = 0  # bytes of the body
        self.written = 0  # bytes of the answer so far
        self._searched = 0

    # What gunicorn takes for a socket.

    @property
    def sock(self) -> Connection:
        return self

    def sendall(self, data: bytes) -> None:
        """Send or keep to send; waits only where much is kept already.

        An answer's head waits for what follows it or for its end, so that a short answer goes
        as one: a process that is killed leaves no half of it. Raises `TimeoutError` where the
        client takes it too slowly, or too many such are waited for.
        """
        if len(self.outbox) > MOST_UNSENT:
            self._wait_for_room()
        begun = self.written > 0
        self.written += len(data)
        self.outbox += data
        if begun:
            self.flush()

    send = sendall

    def gettimeout(self) -> float:
        return 0.0

    def setblocking(self, blocking: bool) -> None:
        """It never blocks."""

    def settimeout(self, seconds: float | None) -> None:
        """It never blocks."""

    def shutdown(self, how: int) -> None:
        """The main thread ends it, once everything is sent."""

    def recv(self, size: int) -> bytes:
        return b""

    def close(self) -> None:
        """The main thread closes it, once everything is sent."""

    # Reading and writing, as far as it goes now.

    def turn(self, state: State, seconds: float) -> None:
        """From now on it waits for something else, so many seconds."""
        self.state = state
        self.since = time.monotonic()
        self.deadline = self.since + seconds

    def receive(self) -> bool:
        """Take what has come; False where the client has ended."""
        try:
            data = self.raw.recv(64 * 1024)
        except BlockingIOError:
            return True
        self.inbox += data
        return bool(data)

    def gone(self) -> bool:
        """Whether the client has ended it, with nothing more sent."""
        try:
            return not self.raw.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def interim(self, data: bytes) -> None:
        """Send what comes before any answer."""
        self.outbox += data
        self.flush()

    def flush(self) -> bool:
        """Send what can be sent; whether that is all."""
        while self.outbox:
            sent = self._send(memoryview(self.outbox)[:_CHUNK])
            if not sent:
                return False
            del self.outbox[:sent]
        return True

    def whole(self) -> bool:
        """Whether the request is here, head and body; raises what gunicorn's parser does,
        and `Unreadable`."""
        if self.request is None and not self._parse_head():
            return False
        if len(self.inbox) < self.length:
            return False
        self.request.body = io.BytesIO(memoryview(self.inbox)[: self.length])
        del self.inbox[: self.length]
        return True

    def head_alone(self) -> bool:
        """Let the API, which looks at the length first, refuse the body in its own words."""
        if self.request is None or not self.request.path.startswith("/api/v0/"):
            return False
        self.request.body = io.BytesIO()
        self.request.force_close()
        self.request._expected_100_continue = False
        self.length = 0
        self.unread = True
        return True

    def next(self) -> None:
        """Forget the request that is answered."""
        self._begin()

    def size(self) -> int:
        """Bytes that are held for it."""
        body = self.length if self.state is State.THREAD else 0
        return len(self.inbox) + len(self.outbox) + body

    def _parse_head(self) -> bool:
        end = self.inbox.find(HEAD_END, max(0, self._searched - len(HEAD_END)))
        self._searched = len(self.inbox)
        if end < 0 and len(self.inbox) <= MOST_HEAD:
            return False
        if not 0 <= end <= MOST_HEAD:
            raise LimitRequestHeaders("the head of a request is too long")
        head = bytes(self.inbox[: end + len(HEAD_END)])
        del self.inbox[: len(head)]
        try:
            self.request = next(http.get_parser(self.cfg, [head], self.client))
        except (StopIteration, NoMoreData):
            raise Unreadable(400) from None
        reader = self.request.body.reader
        if not isinstance(reader, LengthReader):
            raise Unreadable(411)
        self.length = reader.length
        if self.length > MOST_BODY:
            raise Unreadable(413)
        return True

    def _send(self, data: bytes | memoryview) -> int:
        try:
            return self.raw.send(data)
        except BlockingIOError:
            return 0

    def _wait_for_room(self) -> None:
        """Hold a thread for a client that takes an export slowly, if there is one to hold."""
        if not slow_readers.acquire(blocking=False):
            raise TimeoutError("too many clients take their answers slowly")
        try:
            writable = select.poll()
            writable.register(self.raw, select.POLLOUT)
            while not self.flush() and len(self.outbox) > MOST_UNSENT // 2:
                left = self.since + within(self.written) - time.monotonic()
                if left <= 0 or not writable.poll(left * 1000):
                    raise TimeoutError("the client takes its answer too slowly")
        finally:
            slow_readers.release()


# Threads that may wait for clients to take exports, of this process.
slow_readers = threading.BoundedSemaphore(4)

"""What the fakes of cloud providers share: one that answers on loopback, at `url`."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Self


class Loopback:
    """`with` it, `handler` answers at `url`.

    What is in `faults` is answered to a POST in place of anything else, one after the other:
    `(status, body)`, or seconds of silence. `requests` are the headers of all of them, their
    names in small letters.
    """

    handler: type[Handler]

    def __init__(self) -> None:
        self.faults: list[tuple[int, bytes] | float] = []
        self.requests: list[dict[str, str]] = []
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), self.handler)
        self._server.provider = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name=type(self).__name__, daemon=True
        ).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def posted(self, path: str, content: bytes) -> tuple[int, bytes]:
        """The answer to a POST."""
        raise NotImplementedError


class _Server(ThreadingHTTPServer):
    provider: Loopback
    request_queue_size = 64

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's would ask the DNS for the address's name


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    server: _Server

    def do_POST(self) -> None:
        provider = self.server.provider
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        provider.requests.append({name.lower(): text for name, text in self.headers.items()})
        fault = provider.faults.pop(0) if provider.faults else None
        if isinstance(fault, float):
            provider._over.wait(fault)
            self.close_connection = True
            return
        told = fault or provider.posted(self.path, content)
        self.say(*told)

    def say(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Tests look at what was asked; a line per request is noise."""

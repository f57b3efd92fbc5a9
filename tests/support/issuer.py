"""This server's own documents on loopback, as a cloud fetches them: the real application's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.db import connection

NAME = "https://registries.example.com"


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        """Tests look at what was fetched; a line per request is noise."""


class _Server(ThreadedWSGIServer):
    def process_request_thread(self, request, client_address) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            connection.close()


@contextmanager
def published() -> Iterator[str]:
    """Where this process's application answers on loopback; it has to find committed rows."""
    server = _Server(("127.0.0.1", 0), _Quiet)
    server.set_app(WSGIHandler())
    threading.Thread(target=server.serve_forever, args=(0.05,), name="issuer", daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()

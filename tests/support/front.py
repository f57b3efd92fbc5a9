"""What ends TLS before the product, without the TLS: each request is passed on as one that came
by https, as a trusted proxy does."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from tests.support.loopback import Handler, Loopback

HOP = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})


class Front(Loopback):
    """`with Front("127.0.0.1:8000") as front`: at `url` is what answers there."""

    def __init__(self, behind: str) -> None:
        super().__init__()
        self.behind = behind


class _Handler(Handler):
    def do_GET(self) -> None:
        self._pass_on(None)

    def do_POST(self) -> None:
        self._pass_on(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _pass_on(self, body: bytes | None) -> None:
        headers = dict(self.headers.items()) | {"X-Forwarded-Proto": "https"}
        behind = http.client.HTTPConnection(cast(Front, self.server.provider).behind, timeout=30)
        try:
            behind.request(self.command, self.path, body, headers)
            answer = behind.getresponse()
            told = {n: v for n, v in answer.getheaders() if n.lower() not in HOP}
            told.pop("Content-Type", None)
            self.say(answer.status, answer.read(), told)
        finally:
            behind.close()


Front.handler = _Handler


@contextmanager
def https(address: str) -> Iterator[str]:
    """Where a product is asked that is known by an https name, and served at `address` with
    `TRUSTED_PROXIES=127.0.0.1`."""
    with Front(address.removeprefix("http://")) as front:
        yield front.url

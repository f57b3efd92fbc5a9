"""Where an issuer's two documents are, as clouds reach them: a site on loopback that stands for
the issuer's host."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import rsa
from django.db import connections
from django.test import Client

from tests.support.fake_google import private_key

Answer = tuple[int, dict[str, str], bytes]


class Site(ThreadingHTTPServer):
    """Answers a GET of a path by `answer`. `asked` are the paths; `down` is whether it's out
    of reach."""

    def __init__(self, answer: Callable[[str], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.asked, self.down = answer, list[str](), False
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's would ask the DNS for the address's name


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.server.asked.append(path)
        status, headers, body = (503, {}, b"") if self.server.down else self.server.answer(path)
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """A line per request is noise."""


@contextmanager
def site(answer: Callable[[str], Answer]) -> Iterator[Site]:
    """It's served while this is entered."""
    with Site(answer) as made:
        threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield made
        finally:
            made.shutdown()


def of_the_product(path: str) -> Answer:
    """What this server publishes itself, by its own views."""
    try:
        answer = Client().get(path)
        return answer.status_code, dict(answer.headers), answer.content
    finally:
        connections.close_all()  # those of this thread


def of_a_test(issuer: str, key_set: Callable[[], dict[str, Any]]) -> Callable[[str], Answer]:
    """The same two documents, for keys of a test's own."""

    def answer(path: str) -> Answer:
        known = {
            "/.well-known/openid-configuration": lambda: {
                "issuer": issuer,
                "jwks_uri": f"{issuer}/.well-known/jwks.json",
            },
            "/.well-known/jwks.json": key_set,
        }
        if path not in known:
            return 404, {}, b""
        headers = {"Content-Type": "application/json", "Cache-Control": "public, max-age=300"}
        return 200, headers, json.dumps(known[path]()).encode()

    return answer


class Signer:
    """A test's own issuer, that signs with the key `kid`: by PyJWT, as the product does."""

    def __init__(self, issuer: str) -> None:
        self.issuer, self.kid = issuer, "one"
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.published: set[str] = set()
        self.make("one")

    def make(self, kid: str, *, published: bool = True) -> None:
        self.keys[kid] = private_key(100 + len(self.keys))
        if published:
            self.published.add(kid)

    def key_set(self) -> dict[str, Any]:
        from jwt.algorithms import RSAAlgorithm

        return {
            "keys": [
                {
                    **RSAAlgorithm.to_jwk(self.keys[kid].public_key(), as_dict=True),
                    "kid": kid,
                    "use": "sig",
                    "alg": "RS256",
                }
                for kid in sorted(self.published)
            ]
        }

    def sign(self, claims: dict[str, Any], **head: Any) -> str:
        import jwt

        return jwt.encode(claims, self.keys[self.kid], "RS256", headers={"kid": self.kid} | head)

"""OpenID Connect providers on loopback: a real one from the package registry, and one that
answers honestly but for what a test has it do."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings
from django.test import Client

from tests.support import tied_to_us

CLIENT = "registries"
START = "/accounts/company/oidc/"
CALLBACK = "/accounts/company/oidc/callback/"
DISCOVERY = "/.well-known/openid-configuration"


def begin(client: Client, **typed: str) -> str:
    """The address that the button leads to."""
    page = client.post(START, typed)
    assert page.status_code == 200, page.status_code
    return leads_to(page.content.decode())


def leads_to(page: str) -> str:
    found = re.search(r'<meta http-equiv="refresh" content="0; url=([^"]+)">', page)
    assert found, page
    return found[1].replace("&amp;", "&")


def query(address: str) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(address).query))


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


_opener = urllib.request.build_opener(_Stay, urllib.request.ProxyHandler({}))


def ask(address: str, data: Any = None, method: str | None = None) -> tuple[int, Any, bytes]:
    """Status, headers and body, of redirects too."""
    headers = {"Content-Type": "application/json"} if method == "PUT" else {}
    asked = urllib.request.Request(address, data, headers, method=method)
    try:
        with _opener.open(asked, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.headers, answer.read()


# --- a real one -----------------------------------------------------------------


class Real:
    """oidc-provider-mock, built on Authlib, in a process of its own."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer

    def person(self, subject: str, **claims: Any) -> None:
        content = json.dumps(claims).encode()
        assert ask(f"{self.issuer}/users/{subject}", content, "PUT")[0] == 204

    def let_in(self, address: str, subject: str) -> str:
        """Sign in there; the way back, without our name."""
        return self._way_back(address, sub=subject)

    def deny(self, address: str) -> str:
        """With the state, which this one forgets (RFC 6749, 4.1.2.1 wants it)."""
        return f"{self._way_back(address, action='deny')}&state={query(address)['state']}"

    def _way_back(self, address: str, **typed: str) -> str:
        status, headers, body = ask(address, urllib.parse.urlencode(typed).encode())
        assert status == 302, body[-2000:]
        return headers["Location"].removeprefix(settings.BASE_URL)


@contextlib.contextmanager
def real() -> Iterator[Real]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port)]
    command += ["--host", "127.0.0.1", "--require-nonce", "true"]
    with subprocess.Popen(
        tied_to_us(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        issuer = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + 30
            while True:
                with contextlib.suppress(OSError):
                    ask(issuer + DISCOVERY)
                    break
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            yield Real(issuer)
        finally:
            process.terminate()
            process.wait(10)


# --- one that lies -----------------------------------------------------------------

Answer = tuple[int, dict[str, str], bytes]


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


KEY, OTHERS_KEY = _key(), _key()


class Scripted:
    """Honest, but for what a test puts into `answers` (by path) or changes in `claims`,
    `header`, `sign` and `userinfo`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], str]] = []
        self.answers: dict[str, Callable[[], Answer]] = {}
        self.claims: dict[str, Any] = {}
        self.discovery: dict[str, Any] = {}
        self.userinfo: dict[str, Any] | None = None
        self.sign: Callable[[dict[str, Any]], str] = signed
        self.nonce = ""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode()
                provider.asked.append((self.command, self.path, dict(self.headers), body))
                status, headers, content = provider.answer(self.path.partition("?")[0])
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)

            do_POST = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str) -> Answer:
        if path in self.answers:
            return self.answers[path]()
        return told(getattr(self, "_" + path.strip("/.").replace("/", "_").replace("-", "_"))())

    def _well_known_openid_configuration(self) -> dict[str, Any]:
        ends = {
            "authorization_endpoint": "authorize",
            "token_endpoint": "token",
            "jwks_uri": "keys",
            **({"userinfo_endpoint": "userinfo"} if self.userinfo is not None else {}),
        }
        return {
            "issuer": self.issuer,
            **{name: f"{self.issuer}/{end}" for name, end in ends.items()},
            **self.discovery,
        }

    def _keys(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
        return {"keys": [public | {"kid": "one", "use": "sig", "alg": "RS256"}]}

    def _token(self) -> dict[str, Any]:
        return {
            "access_token": "the-access-token-CANARY",
            "token_type": "Bearer",
            "expires_in": 3600,
            "id_token": self.sign(self.honest() | self.claims),
        }

    def _userinfo(self) -> dict[str, Any]:
        return {"sub": "ada-1", **(self.userinfo or {})}

    def honest(self) -> dict[str, Any]:
        now = int(time.time())
        return {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "ada-1",
            "iat": now,
            "exp": now + 300,
            "nonce": self.nonce,
            "email": "ada@example.com",
            "email_verified": True,
            "name": "Ada Lovelace",
        }

    def let_in(self, address: str, **more: str) -> str:
        """What the browser brings back."""
        asked = query(address)
        self.nonce = asked.get("nonce", "")
        return f"{CALLBACK}?" + urllib.parse.urlencode(
            {"code": "a-code", "state": asked["state"]} | more
        )


def told(content: Any, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(content).encode()


def signed(claims: dict[str, Any], key: Any = KEY, kid: str = "one", alg: str = "RS256") -> str:
    given = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(given, key, algorithm=alg, headers={"kid": kid})


@contextlib.contextmanager
def scripted() -> Iterator[Scripted]:
    provider = Scripted()
    thread = threading.Thread(target=provider.server.serve_forever, args=[0.05], daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        provider.server.shutdown()
        provider.server.server_close()

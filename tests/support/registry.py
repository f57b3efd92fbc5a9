"""A real registry under an ECR host name, with TLS on 443, and a real client that finds it there.

The registry is Debian's `docker-registry`. It listens on a Unix socket only; in front of it stands
a small TLS server that checks the login and passes reads on, as ECR's own front does. Not
docker-registry's `htpasswd`: that is bcrypt, which stops at 72 bytes, and an ECR password has some
2,500; any that begins the same would do.

Nothing on the machine is changed: the address is one of 127.0.0.0/8, picked at random so that
sessions side by side don't meet, and only the client's own mount namespace has a hosts file that
points the ECR name to it. That, and port 443, need root.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import gzip
import hashlib
import http.client
import io
import json
import os
import random
import secrets
import socket
import ssl
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from tests.support import require_program, skip_or_fail, tied_to_us
from tests.support.certificates import make_certificates

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
START_SECONDS = 10
PASSED_IN = ("Accept", "Range", "Content-Type")
PASSED_OUT = ("Content-Type", "Content-Length", "Docker-Content-Digest", "Etag", "Location")


class Seen(NamedTuple):
    """A request that reached the registry's front. The password is not kept."""

    method: str
    path: str
    authenticated: bool


class Registry:
    """`with Registry() as registry`: an empty registry on `https://<host>/`; nobody may in yet.

    Skips the test where a program or a right is missing (fails it under CI=true). The certificate
    is for every host that differs from `host` in its first label only. With `tokens` it asks
    for a bearer token, which a login gets at its own `/v2/token`, for one repository and five
    minutes, as Google's registries do; a login itself opens nothing else. What is in `barred`
    nobody may read: the repositories of another's. Only with `takes_pushes` are images written
    through the front, by whom `judge` lets in.
    """

    def __init__(
        self, host: str = HOST, *, tokens: bool = False, takes_pushes: bool = False
    ) -> None:
        self.host = host
        self.tokens = tokens
        self.takes_pushes = takes_pushes
        self.requests: list[Seen] = []
        self._logins: set[tuple[str, str]] = set()
        self.barred: set[str] = set()
        # Whether a password opens a repository, where that depends on more than who has it.
        self.judge: Callable[[str, str], bool] = lambda password, repository: True
        self._bearers: dict[str, tuple[str, float]] = {}

    def __enter__(self) -> Registry:
        for program in ("docker-registry", "unshare", "mount"):
            require_program(program)
        if os.geteuid() != 0:
            skip_or_fail("needs root: binds port 443 and mounts a hosts file in a namespace")
        namespace = subprocess.run(["unshare", "-m", "true"], capture_output=True)
        if namespace.returncode != 0:
            skip_or_fail("needs `unshare -m`: this container may not make a mount namespace")
        with contextlib.ExitStack() as stack:
            directory = tempfile.TemporaryDirectory(prefix="registries-registry-")
            self._directory = Path(stack.enter_context(directory))
            self.ca_file, server_file = make_certificates(self._directory, self.host)
            self._socket = self._directory / "registry.sock"
            stack.callback(_stop, self._start_registry())
            self._wait_until_it_answers()
            front = _bind_front(self, server_file)
            stack.callback(front.server_close)
            self.address = str(front.server_address[0])
            threading.Thread(
                target=front.serve_forever, args=(0.05,), name="registry-front", daemon=True
            ).start()
            stack.callback(front.shutdown)
            self._hosts = self._directory / "hosts"
            self._hosts.write_text(f"127.0.0.1 localhost\n{self.address} {self.host}\n")
            self._cleanup = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._cleanup.close()

    def allow(self, username: str, password: str) -> None:
        """From now on, let this login in."""
        self._logins.add((username, password))

    def revoke_all(self) -> None:
        """Nobody may in any more, with a bearer token that was given for a login neither."""
        self._logins.clear()
        self._bearers.clear()

    def allows(self, authorization: str) -> bool:
        """Whether a value of the Authorization header is exactly one of the allowed logins."""
        scheme, _, encoded = authorization.partition(" ")
        try:
            username, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return scheme.lower() == "basic" and (username, password) in self._logins

    def bearer(self, query: str, authorization: str) -> dict[str, Any]:
        """What the token service says to a login that is let in (its `access_token` is what
        containers' tools read, `token` what Docker reads); of what was asked for, a token is
        for what the login opens."""
        asked = parse_qs(query)
        assert asked["service"] == [self.host], asked
        password = base64.b64decode(authorization.split()[1]).decode().partition(":")[2]
        token = secrets.token_urlsafe(400)
        named = [scope for scope in " ".join(asked.get("scope", [])).split() if scope.count(":")]
        scopes = " ".join(s for s in named if self.judge(password, s.split(":")[1]))
        self._bearers[token] = (scopes, time.monotonic() + 300)
        return {"token": token, "access_token": token, "expires_in": 300}

    def lets_in(self, authorization: str, path: str, *, writing: bool = False) -> bool:
        """Whether an Authorization header opens a path of the registry, to write or to read."""
        if not self.tokens:
            return self.allows(authorization)
        scopes, until = self._bearers.get(authorization.removeprefix("Bearer "), ("", 0.0))
        repository = path.removeprefix("/v2/").partition("/manifests/")[0].partition("/blobs/")[0]
        wanted = f"repository:{repository}:{'pull,push' if writing else 'pull'}"
        named = path == "/v2/" or any(scope.startswith(wanted) for scope in scopes.split())
        return time.monotonic() < until and named

    def push(
        self, repository: str, tag: str, content: bytes = b"hello from a private image\n"
    ) -> str:
        """Put in an image with one file, /hello.txt; return the digest of its manifest."""
        layer = _tar(content)
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Cmd": ["cat", "/hello.txt"]},
                "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            }
        ).encode()
        blobs = {"config": config, "layer": gzip.compress(layer, mtime=0)}
        types = {
            "config": "application/vnd.docker.container.image.v1+json",
            "layer": "application/vnd.docker.image.rootfs.diff.tar.gzip",
        }
        parts = {
            name: {"mediaType": types[name], "size": len(blob), "digest": _digest(blob)}
            for name, blob in blobs.items()
        }
        for blob in blobs.values():
            _, headers, _ = self.ask_directly(
                "POST", f"/v2/{repository}/blobs/uploads/", expect=202
            )
            upload = headers["Location"].partition("://")[2].partition("/")[2]
            self.ask_directly("PUT", f"/{upload}&digest={_digest(blob)}", blob, expect=201)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": parts["config"],
            "layers": [parts["layer"]],
        }
        body = json.dumps(manifest).encode()
        path = f"/v2/{repository}/manifests/{tag}"
        self.ask_directly("PUT", path, body, {"Content-Type": MANIFEST_TYPE}, expect=201)
        return _digest(body)

    def skopeo(
        self, args: Sequence[str], env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run skopeo where the host name leads here: `registry.skopeo(["inspect", "docker://…"])`.

        The environment is `env` and the little it needs: no login, proxy or AWS_* of the machine's
        leaks in.
        """
        return self.run([require_program("skopeo"), "--insecure-policy", *args], env, **options)

    def run(
        self,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        *,
        timeout: float = 60,
        **options: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run any client where the host name leads here and SSL_CERT_FILE has the authority."""
        mounted = 'mount --bind "$0" /etc/hosts && exec "$@"'
        in_namespace = ["unshare", "-m", "sh", "-c", mounted, str(self._hosts), *command]
        home = self._directory / "home"
        home.mkdir(exist_ok=True)
        own = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home),
            "SSL_CERT_FILE": str(self.ca_file),
        }
        return subprocess.run(
            in_namespace,
            env=own | dict(env or {}),
            capture_output=True,
            text=True,
            timeout=timeout,
            **options,
        )

    def ask_directly(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        expect: int = 0,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """A request past the front, on the registry's own socket: no login asked, none checked."""
        connection = _UnixConnection(self.host, timeout=10)
        connection.path = str(self._socket)
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            content = answer.read()
        if expect and answer.status != expect:
            raise RuntimeError(
                f"{method} {path}: {answer.status} {content.decode(errors='replace')}"
            )
        return answer.status, answer.headers, content

    def _start_registry(self) -> subprocess.Popen[bytes]:
        config = {
            "version": 0.1,
            "log": {"accesslog": {"disabled": True}, "level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(self._directory / "storage")}},
            "http": {
                "net": "unix",
                "addr": str(self._socket),
                "secret": "only for upload addresses",
            },
        }
        config_file = self._directory / "registry.yml"
        config_file.write_text(json.dumps(config))  # JSON is YAML
        with (self._directory / "registry.log").open("wb") as log:
            command = tied_to_us([require_program("docker-registry"), "serve", str(config_file)])
            return subprocess.Popen(command, stdout=log, stderr=log)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.ask_directly("GET", "/v2/", expect=200)
                return
            except OSError:
                if time.monotonic() > deadline:
                    log = (self._directory / "registry.log").read_text()
                    raise RuntimeError(f"docker-registry did not start:\n{log}") from None
                time.sleep(0.02)


class _UnixConnection(http.client.HTTPConnection):
    path: str

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class _Front(ThreadingHTTPServer):
    registry: Registry

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's would ask the DNS for the address's name

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that distrusts the certificate hangs up: its own test tells, not our log."""


class _Handler(BaseHTTPRequestHandler):
    """ECR's manners: 401 with a Basic challenge until the login is right; then the answer. Or
    Google's, whose challenge is for a bearer token."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    server: _Front

    def do_GET(self) -> None:
        registry = self.server.registry
        authorization = self.headers.get("Authorization", "")
        path, _, query = self.path.partition("?")
        signs_in = registry.tokens and path == "/v2/token"
        check = registry.allows(authorization) if signs_in else None
        authenticated = (
            registry.lets_in(authorization, path, writing=self.command not in ("GET", "HEAD"))
            if check is None
            else check
        )
        registry.requests.append(Seen(self.command, self.path, authenticated))
        if authenticated and signs_in:
            status, content = 200, json.dumps(registry.bearer(query, authorization)).encode()
            passed = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        elif authenticated and any(path.startswith(f"/v2/{name}/") for name in registry.barred):
            status, content = 403, json.dumps({"errors": [{"code": "DENIED"}]}).encode()
            passed = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        elif authenticated:
            # Clients send one Accept for each type of manifest, and mean all of them.
            asked = {
                name: ", ".join(self.headers.get_all(name, []))
                for name in PASSED_IN
                if name in self.headers
            } | {"X-Forwarded-Proto": "https"}  # so that uploads go on where they began
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, content = registry.ask_directly(self.command, self.path, body, asked)
            passed = {name: headers[name] for name in PASSED_OUT if name in headers}
            if self.command != "HEAD":  # whose length is that of the body it doesn't have
                passed["Content-Length"] = str(len(content))
        else:
            realm = f'Basic realm="https://{registry.host}/",service="ecr.amazonaws.com"'
            if registry.tokens:
                realm = f'Bearer realm="https://{registry.host}/v2/token",service="{registry.host}"'
            status, content = 401, b"Not Authorized\n"
            passed = {"WWW-Authenticate": realm, "Content-Length": str(len(content))}
        self.send_response(status)
        for name, value in passed.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_HEAD = do_GET  # who pulls doesn't write

    def do_POST(self) -> None:
        if self.server.registry.takes_pushes:
            self.do_GET()
        else:
            self.send_error(405)

    do_PATCH = do_PUT = do_POST

    def log_message(self, *args: Any) -> None:
        """`registry.requests` is the log."""


def _bind_front(registry: Registry, server_file: Path) -> _Front:
    for _ in range(20):
        address = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.{random.randint(1, 254)}"
        try:
            front = _Front((address, 443), _Handler)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            skip_or_fail(f"cannot bind port 443 of {address}: {error}")
        front.registry = registry
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(server_file)
        # Each request's thread does its own handshake: a silent client must not block the next.
        front.socket = tls.wrap_socket(
            front.socket, server_side=True, do_handshake_on_connect=False
        )
        return front
    raise RuntimeError("port 443 is taken on 20 random loopback addresses")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()  # it holds nothing worth a graceful end
    process.wait()


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _tar(content: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("hello.txt")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()

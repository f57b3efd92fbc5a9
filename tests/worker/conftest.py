"""A worker's machine (a home, an environment, the two programs) and a server to script."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import CANARY, HOST
from tests.support import PROJECT_ROOT

# WORKER_PYTHON=python3.9 runs all this with the oldest that workers may have.
PYTHON = os.environ.get("WORKER_PYTHON", sys.executable)
HELPER = PROJECT_ROOT / "worker" / "docker-credential-valohai"
PROVIDER = PROJECT_ROOT / "worker" / "valohai-credential-provider"
IMAGE = f"{HOST}/my-ml-image:v1.0"
PROJECT = "11111111-2222-3333-4444-555555555555"
ENTRY = "99999999-8888-7777-6666-555555555555"
TOKEN = f"vrw_0123456789abcdef_{CANARY.replace('/', '').replace('+', '')}"
HELP = "https://registries.example.com/organizations/acme/registries/check/?image=x"


class Reply(NamedTuple):
    status: int
    body: Any  # JSON, or bytes as they are
    headers: Mapping[str, str] = {}
    seconds: float = 0  # before it is sent


class Asked(NamedTuple):
    path: str
    headers: dict[str, str]
    body: Any
    at: float  # monotonic seconds


def at(seconds: float) -> str:
    """The time so many seconds from now, as the API writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def docker_login(
    server: str = HOST,
    password: str = "first",
    refresh: float = 300,
    expires: float | None = 3600,
    **changed: Any,
) -> dict[str, Any]:
    return {
        "kind": "docker",
        "server": server,
        "username": "AWS",
        "password": password,
        "expires_at": None if expires is None else at(expires),
        "refresh_at": at(refresh),
        "entry": {"id": ENTRY, "type": "aws-ecr", "image_pattern": f"{HOST}/*"},
    } | changed


def refusal(status: int, code: str, detail: str = "That didn't work.", **headers: str) -> Reply:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"detail": detail, "code": code, "help": HELP}, headers)


class FakeServer:
    """Answers with what is in `replies`, first to last and the last for ever."""

    def __init__(self) -> None:
        self.replies: list[Reply | dict[str, Any]] = [docker_login()]
        self.asked: list[Asked] = []
        self.outcomes: list[Asked] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked = Asked(self.path, dict(self.headers), body, time.monotonic())
                if self.path.endswith("/outcome/"):
                    outer.outcomes.append(asked)
                    return self.reply(Reply(204, b""))
                outer.asked.append(asked)
                replies = outer.replies
                reply = replies.pop(0) if len(replies) > 1 else replies[0]
                self.reply(reply if isinstance(reply, Reply) else Reply(200, reply))

            def reply(self, reply: Reply) -> None:
                outer.stopping.wait(reply.seconds)
                whole = isinstance(reply.body, bytes)
                content = reply.body if whole else json.dumps(reply.body).encode()
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(content)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(content)
                except OSError:
                    self.close_connection = True

            def do_GET(self) -> None:  # where a redirect would lead
                outer.asked.append(Asked(self.path, dict(self.headers), None, time.monotonic()))
                self.reply(Reply(200, docker_login()))

            def log_message(self, *args: Any) -> None:
                """`asked` is the log."""

        self.stopping = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = ("127.0.0.1", self._server.server_port)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def use_tls(self, server_file: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server_file)
        # Each request's thread does its own handshake; who distrusts the certificate hangs up.
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.hush()

    def hush(self) -> None:
        """Print nothing of connections that break off: they are meant to."""
        self._server.handle_error = lambda *args: None  # type: ignore[method-assign]

    def close(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    server = FakeServer()
    yield server
    server.close()


class Worker:
    """The machine: `get`, `kubelet` and `run` start the programs as clients do."""

    def __init__(self, home: Path, url: str) -> None:
        self.home = home
        self.cache = home / ".cache" / "valohai-registries"
        programs = home / "bin"
        programs.mkdir(parents=True)
        # Not a link: Python finds its packages by the name that it is started by.
        (programs / "python3").write_text(f'#!/bin/sh\nexec "{shutil.which(PYTHON)}" "$@"\n')
        (programs / "python3").chmod(0o755)
        self.env = {
            "HOME": str(home),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "VALOHAI_REGISTRIES_URL": url,
            "VALOHAI_REGISTRIES_TOKEN": TOKEN,
            "VALOHAI_PROJECT": PROJECT,
        }

    def run(
        self, *arguments: str, stdin: str | bytes = "", program: Path = HELPER, **env: str | None
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end. An environment variable that is None is taken away."""
        merged = {name: value for name, value in {**self.env, **env}.items() if value is not None}
        given = stdin if isinstance(stdin, bytes) else stdin.encode()
        done = subprocess.run(
            [str(program), *arguments],
            input=given,
            capture_output=True,
            env=merged,
            timeout=60,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def get(self, asked: str = IMAGE, **env: str | None) -> subprocess.CompletedProcess[str]:
        return self.run("get", stdin=asked, **env)

    def password(self, asked: str = IMAGE, **env: str | None) -> str:
        done = self.get(asked, **env)
        assert done.returncode == 0, done.stdout + done.stderr
        return str(json.loads(done.stdout)["Secret"])

    def kubelet(
        self, request: Any = None, *, image: str = IMAGE, **env: str | None
    ) -> subprocess.CompletedProcess[str]:
        request = kubelet_request(image) if request is None else request
        given = request if isinstance(request, (str, bytes)) else json.dumps(request)
        return self.run(stdin=given, program=PROVIDER, **env)

    def kept(self) -> list[Path]:
        """The logins that are kept; answers too, where no login is."""
        found = sorted(self.cache.glob("*")) if self.cache.is_dir() else []
        return [path for path in found if path.suffix != ".answer"] or found

    def answers(self) -> list[Path]:
        return sorted(self.cache.glob("*.answer"))

    def forget_answers(self) -> None:
        for path in self.answers():
            path.unlink()

    def age(self, **changed: Any) -> None:
        """Rewrite what is kept, as if time had passed."""
        for path in self.cache.glob("*.json"):
            path.write_text(json.dumps(json.loads(path.read_text()) | changed))
        for path in self.answers():
            told, rest = path.read_text().split("\n", 1)
            times = dict(zip(("kept_at", "fresh_until", "expires_at"), told.split(), strict=True))
            times |= {name: str(value) for name, value in changed.items() if name in times}
            path.write_text(f"{' '.join(times.values())}\n{rest}")

    def outdate(self) -> None:
        """Past refresh_at, before expires_at."""
        self.age(fresh_until=time.time() - 1)


def kubelet_request(image: str = IMAGE, **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "kind": "CredentialProviderRequest",
        "image": image,
    } | more


@pytest.fixture
def worker(tmp_path: Path, server: FakeServer) -> Iterator[Worker]:
    """Whatever a test makes of it, the token's secret is nowhere afterwards."""
    worker = Worker(tmp_path / "home", server.url)
    results: list[subprocess.CompletedProcess[str]] = []
    run: Callable[..., subprocess.CompletedProcess[str]] = worker.run

    def recorded(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        results.append(run(*arguments, **options))
        return results[-1]

    worker.run = recorded  # type: ignore[method-assign]
    yield worker
    for done in results:
        assert TOKEN not in done.stdout + done.stderr + " ".join(done.args)
        assert "Traceback" not in done.stderr
    for path in worker.cache.glob("*"):
        assert TOKEN.encode() not in path.read_bytes()

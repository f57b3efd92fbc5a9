"""The worker's helper as a process, beside its peers, for `bench.peers`.

Amazon's Go helper (Debian's amazon-ecr-credential-helper) stands behind a small TLS tunnel,
since it can't be pointed elsewhere. Peers that aren't installed are left out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


@dataclasses.dataclass(frozen=True)
class Taken:
    """One run: seconds until it ended, and of processors."""

    seconds: float
    cpu: float


@dataclasses.dataclass(frozen=True)
class Case:
    """A program to run; `forgets` is a directory that is gone before each run."""

    command: list[str]
    environment: dict[str, str]
    forgets: Path | None = None

    def run(self) -> Taken:
        """Raises SystemExit where the program fails."""
        if self.forgets:
            shutil.rmtree(self.forgets, ignore_errors=True)
        began = time.perf_counter()
        with subprocess.Popen(
            self.command,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdin and process.stdout and process.stderr
            process.stdin.write(HOST.encode())
            process.stdin.close()
            out, err = process.stdout.read(), process.stderr.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{self.command}: {out.decode()}{err.decode()}")
        return Taken(time.perf_counter() - began, usage.ru_utime + usage.ru_stime)


@contextlib.contextmanager
def cases() -> Iterator[dict[str, Case]]:
    """By name, while the servers that they ask are there."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    from tests.support.certificates import make_certificates
    from tests.support.fake_aws import RemoteFakeAws
    from tests.worker.conftest import PROJECT, TOKEN, FakeServer, docker_login

    home = Path(tempfile.mkdtemp(prefix="worker-start-"))
    server = FakeServer()
    server.replies = [docker_login(password="x" * 2500, expires=36_000)]
    with RemoteFakeAws() as aws:
        key_id, secret = aws.create_user("bench", aws.policy())
        authority, certificate = make_certificates(home, "api.ecr.us-east-1.amazonaws.com")
        proxy = tunnel(("127.0.0.1", int(aws.url.rpartition(":")[2])), certificate)
        base = {"PATH": "/usr/bin:/bin", "HOME": str(home)}
        ours = base | {
            "VALOHAI_REGISTRIES_URL": server.url,
            "VALOHAI_REGISTRIES_TOKEN": TOKEN,
            "VALOHAI_PROJECT": PROJECT,
        }
        keys = {
            "AWS_ACCESS_KEY_ID": key_id,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        go = base | keys | {"HTTPS_PROXY": proxy, "SSL_CERT_FILE": str(authority)}
        go["NO_PROXY"] = "169.254.169.254"
        helper = str(ROOT / "worker" / "docker-credential-valohai")
        cached = home / ".cache"
        found = {
            "python3 -S -E -c pass": Case(["python3", "-S", "-E", "-c", "pass"], base),
            "docker-credential-valohai get, cached": Case([helper, "get"], ours),
            "docker-credential-valohai get, cold": Case(
                [helper, "get"], ours | {"XDG_CACHE_HOME": str(cached / "cold")}, cached / "cold"
            ),
            "aws ecr get-login-password": Case(
                [shutil.which("aws") or "", "ecr", "get-login-password"],
                base | keys | {"AWS_ENDPOINT_URL": aws.url, "PATH": os.environ["PATH"]},
            ),
            "docker-credential-ecr-login get, cached": Case(
                [shutil.which("docker-credential-ecr-login") or "", "get"], go
            ),
        }
        yield {name: case for name, case in found.items() if case.command[0]}
    shutil.rmtree(home, ignore_errors=True)


def tunnel(to: tuple[str, int], certificate: Path) -> str:
    """A CONNECT proxy that ends the TLS itself and hands the rest to `to` in clear."""
    listening = socket.create_server(("127.0.0.1", 0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def one(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            inside = context.wrap_socket(client, server_side=True)
            outside = socket.create_connection(to)
            threading.Thread(target=pass_on, args=(inside, outside), daemon=True).start()
            pass_on(outside, inside)

    def accept() -> None:
        while True:
            client, _ = listening.accept()
            threading.Thread(target=one, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return f"http://127.0.0.1:{listening.getsockname()[1]}"

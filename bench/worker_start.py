"""`python -m bench.worker_start`: the helper as a process, beside its peers.

Medians of interleaved runs: ours cached and cold, `aws ecr get-login-password`, and
Amazon's Go helper (Debian's amazon-ecr-credential-helper) behind a small TLS tunnel,
since it can't be pointed elsewhere. Peers that aren't installed are left out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROUNDS = 11
ROOT = Path(__file__).resolve().parent.parent
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


def main() -> None:
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
        peers = {
            "aws": [shutil.which("aws") or "", "ecr", "get-login-password"],
            "go": [shutil.which("docker-credential-ecr-login") or "", "get"],
        }
        cases = {
            "python3 -S -E -c pass": (["python3", "-S", "-E", "-c", "pass"], base, False),
            "docker-credential-valohai get, cached": ([helper, "get"], ours, False),
            "docker-credential-valohai get, cold": ([helper, "get"], ours, True),
            "aws ecr get-login-password": (
                peers["aws"],
                base | keys | {"AWS_ENDPOINT_URL": aws.url, "PATH": os.environ["PATH"]},
                False,
            ),
            "docker-credential-ecr-login get, cached": (peers["go"], go, False),
            "docker-credential-ecr-login get, cold": (
                peers["go"],
                go | {"AWS_ECR_DISABLE_CACHE": "true"},
                False,
            ),
        }
        measure({n: case for n, case in cases.items() if case[0][0]}, home)
    shutil.rmtree(home, ignore_errors=True)


def measure(cases: dict[str, tuple[list[str], dict[str, str], bool]], home: Path) -> None:
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(ROUNDS + 1):
        for name, (command, environment, cold) in cases.items():
            if cold:
                shutil.rmtree(home / ".cache", ignore_errors=True)
            began = time.perf_counter()
            ended = subprocess.run(
                command, input=HOST, env=environment, capture_output=True, text=True
            )
            if ended.returncode:
                raise SystemExit(f"{name}: {ended.stdout}{ended.stderr}")
            if turn:  # the first fills the caches
                taken[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    reference = medians.get("aws ecr get-login-password")
    for name, median in medians.items():
        ratio = f"{median / reference:>8.3f} of aws" if reference else ""
        print(f"{name:<42}{median * 1000:>8.1f} ms{ratio}")


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


if __name__ == "__main__":
    main()

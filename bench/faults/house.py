"""Two servers behind nginx, as `deploy/` has them, with what they stand on: all to be broken."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tests.support import require_program, tied_to_us
from tests.support.product import environment

ROOT = Path(__file__).resolve().parents[2]
_AROUND = """
daemon off; master_process off; pid {directory}/pid; error_log stderr crit;
events {{ worker_connections 4000; }}
http {{
    access_log off;
    client_body_temp_path {directory}/bodies; proxy_temp_path {directory}/answers;
    fastcgi_temp_path {directory}/x; uwsgi_temp_path {directory}/y; scgi_temp_path {directory}/z;
    {block}
}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One server of the product, of this working copy or another; its log goes to a file."""

    host = "127.0.0.1"
    before: tuple[str, ...] = ()  # of its command

    def __init__(self, log: Path, root: Path = ROOT, **more: str) -> None:
        self.port = free_port()
        self.log, self.root, self.more = log, root, more
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start(self, **more: str) -> None:
        """Serve, and wait until it answers; `more` of the environment stays from then on."""
        self.more |= more
        own = environment(
            PORT=str(self.port),
            BASE_URL="http://127.0.0.1",
            TRUSTED_PROXIES="127.0.0.1",
            DJANGO_SETTINGS_MODULE="valohai_registries.settings",
        )
        now = ("DATABASE_URL", "FERNET_KEYS", "AWS_ENDPOINT_URL")  # of this house, not the first
        own |= {name: os.environ[name] for name in now} | self.more
        command = [*self.before, sys.executable, "-m", "gunicorn", "valohai_registries.wsgi"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                tied_to_us(command),
                env=own,
                cwd=self.root,
                stderr=log,
                stdout=log,
                start_new_session=True,
            )
        self.wait()

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(f"{self.address}/healthz", timeout=5):
                    return
            assert self.process is not None and self.process.poll() is None, self._end_of_log()
            time.sleep(0.05)
        raise RuntimeError("the server didn't start")

    def _end_of_log(self) -> str:
        return self.log.read_text(errors="replace")[-600:]

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> None:
        """As an upgrade does: SIGTERM, and wait for what is being answered."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)

    def kill(self) -> None:
        """All of its processes at once, as a machine that goes away."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def workers(self) -> list[int]:
        assert self.process is not None
        pid = self.process.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(word) for word in text.split()]


@contextlib.contextmanager
def nginx(*servers: Server) -> Iterator[str]:
    """The address of `deploy/nginx/registries.conf` before these, word for word but for its
    port, TLS and their names."""
    port = free_port()
    block = (ROOT / "deploy/nginx/registries.conf").read_text()
    block = block.replace("listen 443 ssl", f"listen 127.0.0.1:{port}")
    block = re.sub(r"\n\s*ssl_[^\n]*", "", block).replace("limit_conn clients 100;", "")
    for number, server in enumerate(servers, start=1):
        block = block.replace(f"server-{number}:8000", urlsplit(server.address).netloc)
    with tempfile.TemporaryDirectory(prefix="nginx-") as name:
        config = Path(name) / "nginx.conf"
        config.write_text(_AROUND.format(directory=name, block=block))
        command = [require_program("nginx"), "-p", name, "-c", str(config), "-e", "stderr"]
        with subprocess.Popen(tied_to_us(command)) as process:
            try:
                _wait_for(port)
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError("nginx didn't start")

"""The product as it is served, by `gunicorn.conf.py`, on the database of the running test."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

from django.conf import settings
from django.db import connection

from orgs.registries.types import Provider
from tests.support import PROJECT_ROOT, tied_to_us

_STAND_INS = [f"{cloud}_ENDPOINT_URL" for cloud in Provider]


def database_url() -> str:
    """The address of the database that this test runs on, for other processes."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    return (
        f"postgresql://{database['USER']}:{database['PASSWORD']}@{database['HOST']}:"
        f"{database['PORT']}/{database['NAME']}"
    )


def environment(**more: str) -> dict[str, str]:
    """For a process of the product that shares this test's database, keys and fake clouds."""
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "valohai_registries.settings",
        "DATABASE_URL": database_url(),
        "FERNET_KEYS": ",".join(settings.FERNET_KEYS),
        **{name: getattr(settings, name) for name in _STAND_INS},
        **more,
    }


class Served(str):
    """The product's address; `process` is the first of its processes."""

    process: subprocess.Popen[bytes]


def collect_static() -> None:
    """What `make run` does before it serves: pages name their files by what is in them."""
    if not (PROJECT_ROOT / "var" / "static" / "staticfiles.json").exists():
        command = [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity", "0"]
        subprocess.run(command, env=environment(), cwd=PROJECT_ROOT, check=True)


@contextlib.contextmanager
def served(*command: str, **more: str) -> Iterator[Served]:
    """Its address while it is served, with `more` in its environment. Everything it may
    see has to be committed. `command` serves it in another way than `make run`, on PORT."""
    collect_static()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = Served(f"http://127.0.0.1:{port}")
    usual = (sys.executable, "-m", "gunicorn", "valohai_registries.wsgi")
    whole = tied_to_us([word.format(port=port) for word in command or usual])
    own = environment(**({"PORT": str(port), "BASE_URL": str(address)} | more))
    with subprocess.Popen(whole, env=own, cwd=PROJECT_ROOT) as server:
        address.process = server
        try:
            _wait_until_healthy(f"{address}/healthz", server)
            yield address
        finally:
            server.terminate()
            server.wait(20)


def _wait_until_healthy(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.1)
    raise RuntimeError("the server didn't start")

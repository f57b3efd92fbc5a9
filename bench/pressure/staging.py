"""A database with the scene in it, and the product that serves it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cryptography.fernet import Fernet

from .scene import Scene, make

SETTINGS = "bench.pressure.settings"


@contextlib.contextmanager
def staged(*, sqlite: bool = False) -> Iterator[tuple[Scene, Path]]:
    """The scene, and the directory of counts; whatever is served meanwhile finds it."""
    from tests.support.fake_aws import RemoteFakeAws
    from tests.support.postgres import start_postgres, stop

    with tempfile.TemporaryDirectory(prefix="pressure-") as directory, RemoteFakeAws() as aws:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": SETTINGS,
            "PRESSURE_COUNTS": directory,
            "DATABASE_URL": f"sqlite:///{directory}/db.sqlite3" if sqlite else start_postgres(),
            "SECRET_KEY": Fernet.generate_key().decode(),
            "FERNET_KEYS": Fernet.generate_key().decode(),
            "AWS_ENDPOINT_URL": aws.url,
        }
        # In a process of its own: a run over several loads has a database for each.
        made = subprocess.run(
            [sys.executable, "-m", "bench.pressure.staging", aws.url],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield Scene.of(json.loads(made.stdout)), Path(directory)
        finally:
            if not sqlite:
                stop(os.environ["DATABASE_URL"])


@contextlib.contextmanager
def serving(scene: Scene, *command: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Serve it as `make run` does, or by `command`; gives the first process."""
    import django

    django.setup()
    from tests.support.product import served

    own = ("DATABASE_URL", "FERNET_KEYS", "AWS_ENDPOINT_URL", "DJANGO_SETTINGS_MODULE")
    with served(*command, **{name: os.environ[name] for name in own} | more) as address:
        scene.address = str(address)
        yield address.process


def main(aws_url: str) -> None:
    """Migrate the settings' database, which is empty, and make the scene there; prints it."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    call_command("collectstatic", verbosity=0, interactive=False)
    from tests.support.fake_aws import RemoteFakeAws

    aws = RemoteFakeAws()
    aws.url = aws_url
    print(json.dumps(dataclasses.asdict(make(aws))))


if __name__ == "__main__":
    main(sys.argv[1])

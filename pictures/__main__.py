"""`make pictures`: every page as it looks, its weight, and the guide's own pictures.

The product itself, served by gunicorn, before a fake AWS, with a database of its own that
is gone afterwards. Nothing leaves this machine. Pages go to var/pictures, with an
index.html to look through; what the guide shows goes to docs/guide/pictures.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    from tests.support.fake_aws import RemoteFakeAws

    with tempfile.TemporaryDirectory(prefix="pictures-") as directory, RemoteFakeAws() as aws:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "valohai_registries.settings",
            "DATABASE_URL": f"sqlite:///{directory}/pictures.sqlite3",
            "SECRET_KEY": Fernet.generate_key().decode(),
            "FERNET_KEYS": Fernet.generate_key().decode(),
            "AWS_ENDPOINT_URL": aws.url,
            "EMAIL_URL": "dummymail://",
        }
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)

        from tests.support.product import served

        from . import cast, guide, runs, taking

        cast.same_keys(aws)
        made = cast.fill(aws)
        runs.keep_going(made)
        only = sys.argv[1:]
        if not only:
            call_command("collectstatic", verbosity=0, interactive=False)
            with served(BASE_URL=taking.BASE) as address:
                guide.take(address, made, ROOT / "docs" / "guide" / "pictures")
        # Again, since the guide's pages show what was just taken.
        call_command("collectstatic", verbosity=0, interactive=False)
        with served(BASE_URL=taking.BASE) as address:
            taking.take(address, made, ROOT / "var" / "pictures", only)


if __name__ == "__main__":
    main()

"""`make pictures`: every page as it looks, its weight, and the guide's own pictures.

The product itself, served by gunicorn, before a fake AWS, with a database of its own that
is gone afterwards. Nothing leaves this machine. Pages go to var/pictures, with an
index.html to look through; what the guide shows goes to docs/guide/pictures, README's to
docs/pictures; how each looks, to pictures/index.json. Names after it take only those that
begin so; `--changed` leaves the index as it is, and ends with 1 where a picture is another
than there.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet

CHANGED = "--changed"
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
            "EMAIL_URL": f"filemail:///{directory}/mails",
        }
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)

        from tests.support.product import served

        from . import cast, guide, identity, index, readme, runs, taking

        cast.same_keys(aws)
        made = cast.fill(aws)
        runs.keep_going(made)
        identity.fill()
        only = [name for name in sys.argv[1:] if name != CHANGED]
        own = {"BASE_URL": taking.BASE, "TRUSTED_PROXIES": "127.0.0.1"}
        if not sys.argv[1:]:
            call_command("collectstatic", verbosity=0, interactive=False)
            with served(**own) as address:
                guide.take(address, made, ROOT / "docs" / "guide" / "pictures")
                readme.take(address, made, ROOT / "docs" / "pictures")
        # Again, since the guide's pages show what was just taken.
        call_command("collectstatic", verbosity=0, interactive=False)
        with served(**own) as address:
            looks = taking.take(address, made, ROOT / "var" / "pictures", only)
    before = index.read()
    if only:  # of the others nothing is known
        before = {name: look for name, look in before.items() if name in looks}
    lines = index.told(before, looks)
    sys.stdout.write("".join(f"{line}\n" for line in lines) or "Every picture is as it was.\n")
    if CHANGED in sys.argv:
        raise SystemExit(1 if lines else 0)
    gone = set() if only else before.keys() - looks.keys()
    kept = {name: look for name, look in index.read().items() if name not in gone}
    index.write(index.renewed(kept, looks))


if __name__ == "__main__":
    main()

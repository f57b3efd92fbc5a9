"""The product's settings, and two counts: password hashes made, mails sent."""

import os
from pathlib import Path

from django.contrib.auth.hashers import ScryptPasswordHasher

from valohai_registries.settings import *  # noqa: F403

COUNTS = Path(os.environ["PRESSURE_COUNTS"])  # a directory
TRUSTED_PROXIES = ["127.0.0.1"]
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = COUNTS / "mails"
PASSWORD_HASHERS = ["bench.pressure.settings.Counting"]


class Counting(ScryptPasswordHasher):
    """One byte in a file for each hash: it counts across processes, and crashes lose none."""

    def encode(self, *args, **kwargs):
        with (COUNTS / "hashes").open("ab") as file:
            file.write(b".")
        return super().encode(*args, **kwargs)

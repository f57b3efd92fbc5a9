"""The product's settings, and two counts: password hashes made, mails sent."""

import os

from django.contrib.auth.hashers import ScryptPasswordHasher

from valohai_registries.settings import *  # noqa: F403

COUNTS = os.environ["PRESSURE_COUNTS"]  # a directory
TRUSTED_PROXIES = ["127.0.0.1"]
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = os.path.join(COUNTS, "mails")
PASSWORD_HASHERS = ["bench.pressure.settings.Counting"]


class Counting(ScryptPasswordHasher):
    """One byte in a file for each hash: it counts across processes, and crashes lose none."""

    def encode(self, *args, **kwargs):
        with open(os.path.join(COUNTS, "hashes"), "ab") as file:
            file.write(b".")
        return super().encode(*args, **kwargs)

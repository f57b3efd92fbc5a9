"""The product's settings with keys of its own.

TEST_DATABASE=postgresql starts a real server for the run; else SQLite in a file,
since threads and processes share it as they do in production.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet

for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
os.environ["SECRET_KEY"] = "only-for-tests-0123456789-abcdefghijklmnopqrstuvwxyz"
os.environ.setdefault("FERNET_KEYS", Fernet.generate_key().decode())
os.environ["BASE_URL"] = "http://127.0.0.1:8000"
os.environ |= {f"{cloud}_ENDPOINT_URL": "" for cloud in ("AWS", "GOOGLE", "AZURE")}

if os.environ.get("TEST_DATABASE") == "postgresql":
    from tests.support.postgres import start_postgres

    os.environ["DATABASE_URL"] = start_postgres()
else:
    os.environ["DATABASE_URL"] = "sqlite:///:memory:"

from valohai_registries.settings import *  # noqa: E402, F403
from valohai_registries.settings import DATABASES  # noqa: E402

_directory = Path(tempfile.mkdtemp(prefix="registries-tests-"))
atexit.register(shutil.rmtree, _directory, ignore_errors=True)
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {"NAME": str(_directory / "test.sqlite3")}
    # No test cuts the power; waiting for the disk at each commit took minutes of a run.
    DATABASES["default"]["OPTIONS"]["init_command"] += " PRAGMA synchronous=OFF;"
# Straight from the sources: nothing needs collecting before a test.
STATIC_ROOT = _directory
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# Scrypt takes a tenth of a second, by design; tests sign in often.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ALLOWED_HOSTS = ["*"]

"""Whether time tells who has an account: `python -m bench.known [--tries 500]`.

Signing in with a wrong password, and asking for a new one, over HTTP, one after the other in
random order, for an address that has an account and one that hasn't. The limits are off;
mails go out, into files.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

KNOWN, UNKNOWN = "alice@example.com", "nobody@example.com"
FORMS = {
    "signing in": ("/accounts/login/", "username", {"password": "wrong password"}),
    "asking for a new password": ("/accounts/forgotten/", "email", {}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=500)
    tries = parser.parse_args().tries
    with tempfile.TemporaryDirectory(prefix="known-") as directory:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "EMAIL_URL": f"filemail:///{directory}/mails",
        }
        Path(directory, "mails").mkdir()
        import django

        django.setup()
        _measure(directory, tries)


def _measure(directory: str, tries: int) -> None:
    from cryptography.fernet import Fernet

    from tests.support.product import served

    keys = Fernet.generate_key().decode()
    more = {
        "DATABASE_URL": f"sqlite:///{directory}/known.sqlite3",
        "DJANGO_SETTINGS_MODULE": "valohai_registries.settings",
        "FERNET_KEYS": keys,
        "ADMIN_EMAIL": KNOWN,
    }
    _prepared(more)
    command = (sys.executable, "-m", "gunicorn", "bench.unlimited:application")
    with served(*command, **more) as address:
        for what, (path, name, fields) in FORMS.items():
            taken, told = _tried(address, path, name, fields, tries)
            known, unknown = (statistics.median(taken[email]) for email in (KNOWN, UNKNOWN))
            off = 100 * (known / unknown - 1)
            same = "the same answers" if told[KNOWN] == told[UNKNOWN] else "ANSWERS DIFFER"
            print(
                f"{what}: median of {tries} known {known * 1e3:.2f} ms, "
                f"unknown {unknown * 1e3:.2f} ms: {off:+.1f} %; {same}"
            )


def _prepared(more: dict[str, str]) -> None:
    import subprocess

    from tests.support import PROJECT_ROOT
    from tests.support.product import environment

    for command in (["migrate", "--verbosity", "0"], ["first_start"]):
        subprocess.run(
            [sys.executable, "manage.py", *command],
            env=environment(**more), cwd=PROJECT_ROOT, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip


def _tried(
    address: str, path: str, name: str, fields: dict[str, str], tries: int
) -> tuple[dict[str, list[float]], dict[str, set[tuple[int, str]]]]:
    """Seconds of each answer, and what the answers were, their address and token taken out."""
    import http.client
    from urllib.parse import urlencode

    import requests

    page = requests.get(address + path, timeout=60, proxies={"http": ""})
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert token, page.text
    headers = {
        "Cookie": f"csrftoken={page.cookies['csrftoken']}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    taken: dict[str, list[float]] = {KNOWN: [], UNKNOWN: []}
    told: dict[str, set[tuple[int, str]]] = {KNOWN: set(), UNKNOWN: set()}
    order = [KNOWN, UNKNOWN] * tries
    random.shuffle(order)
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    for email in order:
        body = urlencode(fields | {name: email, "csrfmiddlewaretoken": token[1]})
        begun = time.perf_counter()
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        taken[email].append(time.perf_counter() - begun)
        plain = re.sub(r'(csrfmiddlewaretoken" value=")[^"]+', r"\1", text).replace(email, "")
        told[email].add((answer.status, plain))
    return taken, told


if __name__ == "__main__":
    main()

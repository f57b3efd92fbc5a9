"""`python -m bench.runs`: 500 entries verified as a run, half of them with a wrong key.

By HTTP, as an org admin does it, against the product as it is served, on SQLite or with
`--database postgresql` on that, and a fake AWS (the registry behind it isn't there). Tells how
long it takes, when the first result is on the page, what another organization's worker feels of
it, and how many mails come of it. By hand: seconds are this machine's, the ratio isn't.
"""

from __future__ import annotations

import argparse
import html
import os
import re
import statistics
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests

from .walking import HOST, PASSWORD, product, wrong

ENTRIES = 500
QUIET = 8.0  # seconds of logins before the run begins, and after it
LOOKS = 1.0  # seconds from one look at the page to the next, as its script does
PAUSE = 0.02  # seconds between two logins of a worker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    postgresql = parser.parse_args().database == "postgresql"
    mailed = tempfile.TemporaryDirectory(prefix="mails-")
    with product(postgresql=postgresql) as aws, mailed as mails:
        os.environ["EMAIL_URL"] = f"filemail:///{mails}"
        key_id, secret = aws.create_user("valohai", aws.policy(repository="*"))
        session, asked = _fill(key_id, secret)

        from tests.support.product import served

        with served() as address:
            _measure(address, session, asked, Path(mails))


def _measure(address: str, session: str, asked: dict[str, Any], mails: Path) -> None:
    fleet = Worker(address, asked)
    fleet.start()
    time.sleep(QUIET)
    quiet = fleet.taken()
    began = time.perf_counter()
    page = _begin(address, session)
    begun = time.perf_counter() - began
    first = None
    while True:
        text = session_get(page + "?part=1", session)
        done = re.search(r"data-count>\s*([\d,]+) of", text)
        if first is None and (not done or done[1] != "0"):
            first = time.perf_counter() - began
        if not done:
            break
        time.sleep(0.1 if first is None else LOOKS)
    whole = time.perf_counter() - began
    busy = fleet.taken()
    time.sleep(QUIET)  # the mail is sent meanwhile
    quiet += fleet.taken()
    fleet.stop()
    outcome = re.search(r"<b>([^<]+)</b>", text)
    groups = re.findall(r"<b>([\d,]+: [^<]+)</b>", text)
    print(f"{ENTRIES} entries, half with a wrong key: answered after {begun:.2f} s, "
          f"first result on the page after {first:.2f} s, all after {whole:.1f} s")  # fmt: skip
    print(html.unescape(f"{outcome[1] if outcome else text}  {'; '.join(groups)}"))
    for name, at in (("p50", 50), ("p95", 95), ("p99", 99)):
        before, beside = _at(quiet, at), _at(busy, at)
        print(f"another organization's login, {name}: {before * 1000:.1f} ms quiet, "
              f"{beside * 1000:.1f} ms beside the run: {beside / before:.2f}")  # fmt: skip
    print(f"{len(quiet)} and {len(busy)} logins, {fleet.failed} failed; "
          f"{_mails(mails)} mails")  # fmt: skip


def _at(taken: list[float], percent: int) -> float:
    return statistics.quantiles(taken, n=100)[percent - 1]


def _mails(folder: Path) -> int:
    return sum(file.read_text().count("Subject:") for file in folder.iterdir())


class Worker(threading.Thread):
    """Asks for one login after another, and notes how long each took."""

    def __init__(self, address: str, asked: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.url = f"{address}/api/v0/docker-login/"
        self.headers = {"Authorization": f"Token {asked.pop('token')}"}
        self.asked, self.failed = asked, 0
        self._taken: list[float] = []
        self._over = threading.Event()

    def run(self) -> None:
        with requests.Session() as session:
            while not self._over.wait(PAUSE):
                began = time.perf_counter()
                answer = session.post(self.url, json=self.asked, headers=self.headers)
                self._taken.append(time.perf_counter() - began)
                self.failed += answer.status_code != 200

    def taken(self) -> list[float]:
        found, self._taken = self._taken, []
        return found

    def stop(self) -> None:
        self._over.set()
        self.join()


def session_get(url: str, session: str) -> str:
    answer = requests.get(url, cookies={"sessionid": session}, timeout=30)
    answer.raise_for_status()
    return answer.text


def _begin(address: str, session: str) -> str:
    """Verify all, as the list's page does; the run's address."""
    with requests.Session() as browser:
        browser.cookies.set("sessionid", session)
        listed = f"{address}/organizations/acme/registries/"
        page = browser.get(listed, timeout=30)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token is not None
        typed = {
            "csrfmiddlewaretoken": token[1], "action": "verify", "all": "1", "count": str(ENTRIES),
        }  # fmt: skip
        answer = browser.post(f"{listed}selected/", typed, timeout=30)
        assert "/runs/" in answer.url, answer.text
        return answer.url


def _fill(key_id: str, secret: str) -> tuple[str, dict[str, Any]]:
    """Two organizations; gives the admin's session of one, and what a worker of the other asks."""
    from django.test import Client
    from django.utils import timezone

    from orgs.models import Membership, Organization, Project, RegistryEntry, User
    from orgs.services.audit.events import COMMAND_LINE
    from orgs.services.entries import door
    from orgs.services.entries.validating import EntrySpec
    from orgs.services.tenancy import tokens

    alice = User.objects.create_user("alice@example.com", PASSWORD, name="Alice")
    acme, other = (Organization.objects.create(name=n, slug=n.lower()) for n in ("Acme", "Other"))
    Membership.objects.create(organization=acme, user=alice, role="admin")

    def add(organization: Any, pattern: str, given: str) -> None:
        spec = EntrySpec("aws-ecr", [pattern], {"access_key_id": key_id},
                         {"secret_access_key": given})  # fmt: skip
        door.entry_create(organization=organization, actor=COMMAND_LINE, spec=spec)

    for n in range(ENTRIES):
        add(acme, f"{HOST}/team-{n:03}/*", wrong(secret) if n % 2 else secret)
    add(other, f"{HOST}/*", secret)
    # Keys of long ago: those of a minute ago are tried again for a while.
    RegistryEntry.objects.update(secrets_changed_at=timezone.now() - timedelta(days=30))
    project = Project.objects.create(name="first-project", organization=other)
    token = tokens.token_issue_worker(organization=other, name="w", actor=COMMAND_LINE)[1]
    client = Client()
    client.force_login(alice)
    asked = {"token": token, "project": str(project.pk), "image": f"{HOST}/my-model:v1"}
    return client.cookies["sessionid"].value, asked


if __name__ == "__main__":
    main()

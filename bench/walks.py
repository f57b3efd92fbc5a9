"""`python -m bench.walks`: how far an org admin has to go, in a real browser, from sign-in.

A first entry added and verified; a worker set up, by what its page says, until its first login
is seen; a failing entry found among fifty and mended. Tells clicks, what was typed, and
seconds. Run by hand: it takes half a minute, and seconds are this machine's.

Keys are checked by a fake AWS; the registry behind it isn't there, so its step stays amber.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from .walking import HOST, PASSWORD, Walk, browser, product, wrong

EMAIL = "alice@example.com"
OTHERS = 50


def main() -> None:
    with product() as aws:
        key_id, secret = aws.create_user("valohai", aws.policy(repository="*"))
        acme = _organization()

        from tests.support.product import served

        with served() as address, browser() as open_one:
            _verify(open_one(), address, key_id, secret)
            _set_up(open_one(), address)
            _break(acme, key_id, secret)
            _mend(open_one(), address, secret)


def _verify(page: Page, address: str, key_id: str, secret: str) -> None:
    walk = Walk("an entry added and verified", page)
    walk.sign_in(address, EMAIL)
    walk.click(page.get_by_role("link", name="Add a new entry").first)
    walk.type("Match pattern", f"{HOST}/*")
    walk.type("Access Key ID", key_id)
    walk.type("Secret Access Key", secret)
    walk.click(page.get_by_role("button", name="Save").last)
    _login_obtained(page)
    walk.tell()


def _set_up(page: Page, address: str) -> None:
    """The script of the page, run by sh in a home of its own."""
    walk = Walk("a worker set up, its first login seen", page)
    walk.sign_in(address, EMAIL)
    walk.click(page.get_by_role("link", name="Workers", exact=True))
    walk.click(page.get_by_role("link", name="Issue a worker token").first)
    walk.type("Name", "gpu workers")
    walk.click(page.get_by_role("button", name="Issue"))
    # The client that is here; its registry isn't, so the script's pull fails after the login.
    walk.click(page.locator("summary").filter(has_text="Podman"))
    script = page.locator(".script pre:visible").inner_text()
    walk.pasted += 1
    with tempfile.TemporaryDirectory(prefix="worker-") as home:
        Path(home, "set-up.sh").write_text(script)
        own = os.environ | {"HOME": home, "VALOHAI_BIN": f"{home}/bin", "VALOHAI_ROOT": home}
        subprocess.run(["sh", "set-up.sh"], cwd=home, env=own, capture_output=True)
    expect(page.get_by_text("First login").first).to_be_visible(timeout=30_000)
    walk.tell()


def _mend(page: Page, address: str, secret: str) -> None:
    walk = Walk("a failing entry found and mended", page)
    walk.sign_in(address, EMAIL)
    walk.click(page.locator("main a").filter(has_text="/broken/*").first)
    walk.click(page.get_by_role("link", name="Replace").first)
    walk.type("Secret Access Key", secret)
    walk.click(page.get_by_role("button", name="Save").last)
    _login_obtained(page)
    expect(page.locator("#state")).not_to_contain_text("Failing")
    walk.tell()


def _login_obtained(page: Page) -> None:
    step = page.locator("#verification li").filter(has_text="Login obtained")
    expect(step).to_contain_text("done", timeout=30_000)


def _organization() -> Any:
    from orgs.models import Membership, Organization, Project, User

    alice = User.objects.create_user(EMAIL, PASSWORD, name="Alice")
    acme = Organization.objects.create(name="Acme", slug="acme")
    Membership.objects.create(organization=acme, user=alice, role="admin")
    Project.objects.create(name="first-project", organization=acme)
    return acme


def _break(acme: Any, key_id: str, secret: str) -> None:
    """Fifty entries that nobody verified, and one with another's secret."""
    from orgs.services.audit.events import COMMAND_LINE
    from orgs.services.entries import door
    from orgs.services.entries.validating import EntrySpec
    from orgs.services.verification import verifying
    from tests.services.logins.test_resolve import plant

    plant(acme, OTHERS, start=0, analyze=False)
    spec = EntrySpec("aws-ecr", [f"{HOST}/broken/*"], {"access_key_id": key_id},
                     {"secret_access_key": wrong(secret)})  # fmt: skip
    broken = door.entry_create(organization=acme, actor=COMMAND_LINE, spec=spec)
    verifying.entry_verify(entry=broken, actor=COMMAND_LINE)


if __name__ == "__main__":
    main()

"""`python -m bench.staff_walk [--postgresql]`: how far staff have to go, in a real browser.

300 organizations with 3,000 entries and 60,000 events. As staff, from sign-in: a failing entry
found and mended; and why yesterday's login failed. Tells clicks, what was typed, and seconds;
then the staff page alone. Run by hand: it takes a minute, and seconds are this machine's.

The key is mended at a fake AWS; the registry behind it isn't there, so its step stays amber.
"""

from __future__ import annotations

import statistics
import sys
import time
from datetime import timedelta
from typing import Any

from playwright.sync_api import Page, expect

from .walking import HOST, PASSWORD, Walk, browser, product, wrong

ORGANIZATIONS, ENTRIES, EVENTS = 300, 10, 200  # of each
FAILING_EVERY = 250
FAR = "Branch 123"
REASON = "No enabled entry of Branch 123 serves"


def main(*, postgresql: bool) -> None:
    with product(postgresql=postgresql) as aws:
        _walk(aws)


def _walk(aws: Any) -> None:
    secret = _fill(aws)

    from orgs.models import AuditEvent, Organization, RegistryEntry
    from tests.support.product import served

    counted = (model.objects.count() for model in (Organization, RegistryEntry, AuditEvent))
    print("{} organizations, {} entries, {} events".format(*counted))
    with served() as address, browser() as open_one:
        _mend(open_one(), address, secret)
        page = open_one()
        _explain(page, address)
        _alone(page, address)


# --- the walks ------------------------------------------------------------------


def _to_staff(walk: Walk, address: str) -> None:
    walk.sign_in(address, "staff@example.com")
    walk.click(walk.page.get_by_text("Hi, Stella"))
    walk.click(walk.page.get_by_role("link", name="Staff", exact=True))


def _mend(page: Page, address: str, secret: str) -> None:
    walk = Walk("a failing entry found and mended", page)
    _to_staff(walk, address)
    row = page.get_by_role("row").filter(has_text=f"{HOST}/broken/*")
    expect(row).to_contain_text("isn't its own")
    walk.click(row.get_by_role("link", name="Mend"))
    walk.click(page.get_by_role("button", name="Replace"))
    walk.type("Secret Access Key", secret)
    walk.click(page.get_by_role("button", name="Save").last)
    done = page.locator("#verification li").filter(has_text="Login obtained")
    expect(done).to_contain_text("done", timeout=30_000)
    expect(page.locator("#state")).not_to_contain_text("Failing")
    walk.tell()


def _explain(page: Page, address: str) -> None:
    walk = Walk("why did yesterday's login fail", page)
    _to_staff(walk, address)
    walk.type("Search all organizations", FAR)
    walk.click(page.get_by_role("button", name="Search"))
    walk.click(page.get_by_role("link", name=f"Refused logins of {FAR}"))
    walk.click(page.locator("main summary").filter(has_text="my-model").first)
    expect(page.get_by_text(REASON).first).to_be_visible()
    walk.tell()


def _alone(page: Page, address: str) -> None:
    """The page, and a search, once what is remembered is there."""
    for query in ("", "?q=123456789012", "?q=branch"):
        taken = []
        for _ in range(15):
            began = time.perf_counter()
            answer = page.request.get(f"{address}/staff/{query}")
            taken.append(time.perf_counter() - began)
            assert "Staff overview" in answer.text()
        print(f"/staff/{query}: {statistics.median(taken) * 1000:.0f} ms (median of 15)")


# --- the scene ------------------------------------------------------------------


def _fill(aws: Any) -> str:
    """The organizations and what is in them; gives the secret that mends the broken one."""
    from django.utils import timezone

    from orgs.models import AuditEvent, Organization, RegistryEntry, User
    from orgs.registries.private import marked
    from orgs.services.audit.events import COMMAND_LINE, Actor, event
    from orgs.services.entries import door
    from orgs.services.entries.validating import EntrySpec
    from orgs.services.verification import verifying
    from tests.services.logins.test_resolve import plant

    User.objects.create_superuser("staff@example.com", PASSWORD, name="Stella")
    now = timezone.now()
    for n in range(ORGANIZATIONS):
        branch = Organization.objects.create(name=f"Branch {n:03}", slug=f"branch-{n:03}")
        plant(branch, ENTRIES - (branch.name == FAR), start=n * ENTRIES, analyze=False)
        told = []
        for one in range(EVENTS):
            refused = one % 10 == 0
            made = event(
                actor=Actor(f"worker {n}"),
                action="login.refused" if refused else "login.issued",
                organization=branch,
                subject=f"{HOST}/my-model:v{one}",
                code="no_match" if refused else "ok",
                properties={"reason": f"No enabled entry of {branch} serves it."}
                if refused
                else {},
            )
            made.at = now - timedelta(hours=one / 4 + n / ORGANIZATIONS)
            told.append(made)
        AuditEvent.objects.bulk_create(told)
    every = RegistryEntry.objects.order_by("pk").values_list("pk", flat=True)
    RegistryEntry.objects.filter(pk__in=list(every)[::FAILING_EVERY]).update(
        status="failing", status_code="invalid_key", status_at=now - timedelta(days=1),
        status_detail=marked("AWS doesn't know the key, or it's inactive. Check it."),
    )  # fmt: skip
    key_id, secret = aws.create_user("valohai", aws.policy(repository="*"))
    spec = EntrySpec("aws-ecr", [f"{HOST}/broken/*"], {"access_key_id": key_id},
                     {"secret_access_key": wrong(secret)})  # fmt: skip
    far = Organization.objects.get(name=FAR)
    broken = door.entry_create(organization=far, actor=COMMAND_LINE, spec=spec)
    verifying.entry_verify(entry=broken, actor=COMMAND_LINE)
    return str(secret)


if __name__ == "__main__":
    main(postgresql="--postgresql" in sys.argv[1:])

"""How an entry without a key reads: what its other side needs, in steps, and where it's told."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from orgs.models import RegistryEntry, Verification
from orgs.registries.asking import Part, SetUp
from orgs.registries.problems import Failed
from orgs.services.entries.attention import entries_needing_attention
from orgs.services.entries.status import status_mark
from orgs.services.verification.verifying import Result, Step
from tests.conftest import HOST
from tests.registries.keyless_aws import ARN
from tests.web.conftest import NEW, Page, url

pytestmark = [pytest.mark.once, pytest.mark.django_db]

OIDC = "aws-ecr-oidc"
TYPED = {"patterns": f"{HOST}/*", "registry_type": OIDC, "role_arn": ARN, "region": ""}


@pytest.fixture
def entry(make_entry, issuer) -> RegistryEntry:
    return make_entry(f"{HOST}/*", registry_type=OIDC, config={"role_arn": ARN}, secrets={})


def with_(entry: RegistryEntry, **values: object) -> RegistryEntry:
    RegistryEntry.objects.filter(pk=entry.pk).update(**values)
    return entry


def refused(entry: RegistryEntry) -> None:
    """As a verification leaves it that AWS said no to."""
    error = Failed("identity_refused", "AWS knows no provider.", "Register it.")
    step = Step("login", Result.FAILED, error.code, error.told, error.fix)
    Verification.objects.create(entry=entry, at=timezone.now(), steps=[asdict(step)])
    status_mark(entry, RegistryEntry.Status.FAILING, error)


def order(page: Page) -> list[str]:
    """The page's sections about logging in, as they follow."""
    return re.findall(r'id="(set-up|verification)"', page.html)


# --- the entry's page -------------------------------------------------------------------------


def test_a_waiting_one_says_first_what_to_do_and_where(look, alice, entry) -> None:
    page = look(alice, url("entry", entry))
    assert order(page) == ["set-up", "verification"]
    begins = page.html[page.html.index('id="set-up"') :]
    said = (
        "AWS account 123456789012",
        "create-open-id-connect-provider",
        "With Terraform",
        "By hand",
    )
    places = [begins.index(text) for text in (*said, '<a href="#verification">Verify</a>')]
    assert places == sorted(places)
    # What does it all is open; the other ways are folded.
    assert begins.index("<details>") > begins.index("create-open-id-connect-provider")
    assert "<details open" not in page.html and '<section id="set-up"' in page.html
    assert page.html.count("button primary") == 1 and "Not tried yet" in page.text


def test_a_refused_one_says_that_first_with_what_to_compare_open(look, alice, entry) -> None:
    refused(entry)
    page = look(alice, url("entry", entry))
    assert order(page) == ["verification", "set-up"]
    assert page.links["To the set-up"] == "#set-up" and "◌ Waiting for trust" in page.text
    assert page.html.count("<details open>") == 1
    opened = page.html.index("<details open>")
    assert "each value" in page.html[opened : opened + 200]


def test_one_that_works_has_it_folded(look, alice, entry) -> None:
    page = look(alice, url("entry", with_(entry, status="verified")))
    assert re.search(r'<details class="folded"\s+id="set-up">', page.html)
    assert order(page) == ["verification", "set-up"]


def test_where_it_cannot_work_nobody_is_asked_to_set_it_up(
    look, alice, entry, make_entry, settings
) -> None:
    settings.BASE_URL = "http://127.0.0.1:8000"
    page = look(alice, url("entry", entry))
    assert "Not possible here yet" in page.text and 'id="set-up"' not in page.html
    config = {"role_arn": ARN}
    other = make_entry(f"{HOST}/a", registry_type="aws-ecr-assume-role", config=config, secrets={})
    page = look(alice, url("entry", other))
    assert "Not possible here yet" in page.text
    assert re.search(r'<details class="folded"\s+id="set-up">', page.html)


def test_members_see_that_it_waits_and_no_steps(look, bob, entry) -> None:
    page = look(bob, url("entry", entry))
    assert "Waiting for trust" in page.text and 'id="set-up"' not in page.html
    assert "Not tried yet" in page.text and "then logs in" not in page.text


def test_members_of_a_refused_one_are_led_nowhere(look, bob, entry) -> None:
    refused(entry)
    page = look(bob, url("entry", entry))
    assert "AWS knows no provider." in page.text and "#set-up" not in page.html


def test_the_admin_has_the_same_steps(client, staff, entry) -> None:
    client.force_login(staff)
    address = reverse("admin:orgs_registryentry_change", args=[entry.pk])
    page = Page(client.get(address))
    assert "signed in to AWS account 123456789012" in page.text and "trust.css" in page.html
    assert "Not tried yet" in page.text and page.links["Set up trust"] == "#set-up"
    refused(entry)
    assert Page(client.get(address)).links["To the set-up"] == "#set-up"


def test_commands_documents_and_terraform_are_told_apart() -> None:
    told = SetUp(
        "X", (), tuple(Part(n, n, n) for n in ("JSON", "Azure CLI", "gcloud", "Terraform"))
    )
    assert [part.language for part in told.commands] == ["Azure CLI", "gcloud"]
    assert [part.language for part in told.documents] == ["JSON"]
    assert [part.language for part in told.terraform] == ["Terraform"]


# --- saving -----------------------------------------------------------------------------------


def test_a_new_one_is_not_verified_before_its_other_side_can_stand(
    client, look, alice, acme, issuer
) -> None:
    page = look(alice, NEW, type=OIDC)
    assert "data-verified-later" in page.html
    assert re.search(r'id="verify-after"\s+hidden', page.html)
    answer = client.post(NEW, TYPED | {"enabled": "on", "verify": "on"}, follow=True)
    assert "data-starts" not in answer.text and "Set up trust" in answer.text
    # One that was there before is: its other side may stand.
    edit = url("entry_edit", acme.entries.get())
    assert not re.search(r'id="verify-after"\s+hidden', look(alice, edit).html)
    again = TYPED | {"role_arn": f"{ARN}Two", "enabled": "on", "verify": "on"}
    assert "data-starts" in client.post(edit, again, follow=True).text


def test_others_are_verified_after_saving(client, look, alice, acme, issuer) -> None:
    page = look(alice, NEW, type="aws-ecr")
    assert "data-verified-later" not in page.html
    typed = {"patterns": f"{HOST}/*", "registry_type": "aws-ecr", "region": ""}
    key = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "x" * 40}
    answer = client.post(NEW, typed | key | {"enabled": "on", "verify": "on"}, follow=True)
    assert "data-starts" in answer.text


# --- where its admin looks --------------------------------------------------------------------


@pytest.mark.parametrize(("hours", "told"), [(23, False), (25, True)])
def test_a_day_of_waiting_needs_attention(hours, told, look, alice, bob, entry) -> None:
    with_(entry, created_at=timezone.now() - timedelta(hours=hours))
    page = look(alice, "/organizations/acme/")
    assert ("isn't set up yet, so its images can't be pulled" in page.text) is told
    assert ("Nothing needs you" in page.text) is not told
    if told:
        assert page.links["Set up the other side"].endswith(f"/{entry.pk}/#set-up")
        page = look(bob, "/organizations/acme/")
        assert "isn't set up yet" in page.text and "Set up the other side" not in page.links


def test_what_the_cloud_said_is_told_and_the_broken_come_first(acme, entry, make_entry) -> None:
    refused(entry)
    ago = timezone.now() - timedelta(days=2)
    with_(entry, created_at=ago)
    ending = with_(make_entry(f"{HOST}/b"), secret_expires_on=timezone.now().date())
    broken = with_(make_entry(f"{HOST}/a"), status="failing", created_at=ago)
    off = make_entry(f"{HOST}/c", registry_type=OIDC, config={"role_arn": ARN}, secrets={})
    with_(off, created_at=ago, enabled=False)
    found = entries_needing_attention(acme, private=True)
    assert [one.entry for one in found] == [broken, entry, ending]
    assert [one.waits for one in found] == [False, True, False]
    assert found[1].sentences == ["AWS knows no provider. Register it."]


def test_the_checklist_leads_to_the_set_up(look, alice, bob, entry, issuer) -> None:
    page = look(alice, "/organizations/acme/")
    assert page.links["Set up the other side"].endswith(f"/{entry.pk}/#set-up")
    assert "its key gets in" not in page.text
    assert "Set up the other side" not in look(bob, "/organizations/acme/").links
    with_(entry, status="unverified", registry_type="aws-ecr")
    assert "its key gets in" in look(alice, "/organizations/acme/").text

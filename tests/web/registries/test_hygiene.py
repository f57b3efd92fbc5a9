"""Key hygiene: what stands out, filters, exports and copies."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.utils import timezone

from orgs.models import RegistryEntry
from orgs.services.bulk import importing
from orgs.services.bulk.files import Rows
from tests.conftest import CANARY, HOST
from tests.web.conftest import NEW, TYPED, Page, url

pytestmark = pytest.mark.django_db

LIST = "/organizations/acme/registries/"
KEY = "AKIAIOSFODNN7EXAMPLE"


def days_ago(days: int):
    return timezone.now() - timedelta(days=days)


def with_(entry, **values):
    RegistryEntry.objects.filter(pk=entry.pk).update(**values)
    return entry


def shown(page: Page) -> list[str]:
    """The last part of each row's pattern."""
    rows = [text for text in page.texts["th"] if text.startswith(HOST)]
    return [text.split("/", 1)[1].split()[0] for text in rows]


@pytest.fixture
def several(make_entry, gpu):
    """Five entries; `a` is old in both ways, `b` fails, `c` is off."""
    made = SimpleNamespace(
        a=make_entry(f"{HOST}/a"),
        b=make_entry(f"{HOST}/b", environments=[gpu]),
        c=make_entry(f"{HOST}/c", enabled=False),
        d=make_entry(f"{HOST}/d", registry_type="aws-ecr-role"),
        e=make_entry(f"{HOST}/e", note="ask Ute"),
    )
    with_(made.a, secrets_changed_at=days_ago(91), last_used_at=days_ago(92))
    with_(made.b, status="failing", secrets_changed_at=days_ago(10))
    with_(made.e, last_used_at=timezone.now(), status="verified")
    return made


# --- the list ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"type": "aws-ecr-role"}, "d"),
        ({"type": "nonsense"}, "abcde"),
        ({"status": "failing"}, "b"),
        ({"status": "verified"}, "e"),
        ({"status": "unverified"}, "a"),
        ({"status": "on-workers"}, "d"),
        ({"status": "disabled"}, "c"),
        ({"status": "nonsense"}, "abcde"),
        ({"environment": "gpu"}, "b"),
        ({"environment": "theirs"}, ""),
        ({"unused": "1"}, "a"),
        ({"old_key": "1"}, "a"),
        ({"old_key": "1", "type": "aws-ecr-role"}, ""),
        ({"q": "ute"}, "e"),
        ({"q": "ute", "status": "failing"}, ""),
        ({"page": "nonsense"}, "abcde"),
    ],
)
def test_filters(query, wanted, look, alice, several) -> None:
    page = look(alice, LIST, **query)
    assert "".join(sorted(shown(page) if "th" in page.texts else [])) == wanted
    if query == {"environment": "theirs"}:
        assert "Unknown environment · Failing first Clear filters" in page.text
    if not wanted:
        assert "No entry fits these filters. Clear filters" in page.text


def test_filters_stay_in_the_page(look, alice, several) -> None:
    page = look(alice, LIST, status="failing", unused="", old_key="1", q="x", sort="key")
    assert "checked" in page.fields["old_key"] and "checked" not in page.fields["unused"]
    assert re.findall(r'value="(\w*)"\s+selected', page.html) == ["failing", "key"]
    assert "Filters (2)" in page.texts["summary"]
    assert "Failing · Key over 90 days · Oldest key first Clear filters" in page.text
    assert page.links["Clear filters"] == LIST
    page = look(alice, LIST)
    assert "Filters" in page.texts["summary"] and "Clear filters" not in page.links
    assert "Failing first" in page.text


@pytest.mark.parametrize(
    ("sort", "wanted"),
    [("", "b"), ("pattern", "abcde"), ("-pattern", "edcba"), ("-used", "ea"), ("key", "ab"),
     ("-key", "e"), ("nonsense", "b")],
)  # fmt: skip
def test_sorting(sort, wanted, look, alice, several) -> None:
    assert "".join(shown(look(alice, LIST, sort=sort))).startswith(wanted)


def test_never_used_comes_before_long_unused(look, alice, several) -> None:
    assert "".join(shown(look(alice, LIST, sort="used")))[-2:] == "ae"
    assert "".join(shown(look(alice, LIST, sort="key")))[-1] == "d"


def test_headings_sort_and_turn_round(look, alice, several) -> None:
    page = look(alice, LIST, q="a", page="1")
    assert page.links["Key age"] == "?q=a&sort=key"
    assert page.links["Status, failing first ▼"] == "?q=a" and 'aria-sort="other"' in page.html
    page = look(alice, LIST, sort="key")
    assert page.links["Status"] == "?" and 'aria-sort="other"' not in page.html
    assert page.links["Key age ▲"] == "?sort=-key" and 'aria-sort="ascending"' in page.html
    page = look(alice, LIST, sort="-key")
    assert page.links["Key age ▼"] == "?sort=key" and 'aria-sort="descending"' in page.html


def test_what_stands_out(look, alice, bob, several) -> None:
    for person in (alice, bob):
        rows = {row.split(f"{HOST}/")[1][0]: row for row in look(person, LIST).texts["tr"][1:]}
        assert "◆ Key over 90 days ▽ Unused for 90 days" in rows["a"]
        assert all("◆" not in rows[name] and "▽" not in rows[name] for name in "bcde")
    assert "◆ Key over 90 days" in look(alice, url("entry", several.a)).text
    assert "◆" not in look(alice, url("entry", several.b)).text


@pytest.mark.parametrize(("days", "stands_out"), [(89, False), (91, True)])
def test_ninety_days(days, stands_out, look, alice, make_entry) -> None:
    with_(make_entry(), secrets_changed_at=days_ago(days), created_at=days_ago(days))
    page = look(alice, LIST)
    assert ("◆" in page.text) is ("▽" in page.text) is stands_out
    for query in ({"unused": "1"}, {"old_key": "1"}):
        assert (HOST in look(alice, LIST, **query).text) is stands_out


def test_members_choose_nothing(look, bob, several) -> None:
    page = look(bob, LIST)
    assert "entry" not in page.fields and "Import" not in page.links and "Export" not in page.links
    assert "Disable" not in page.texts["button"] and shown(page)


# --- export -----------------------------------------------------------------------


def exported(answer) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode())))


def test_export_what_is_filtered(client, look, alice, several) -> None:
    page = look(alice, LIST, old_key="1", sort="key", page="1")
    assert page.links["Export"] == f"{LIST}export/?old_key=1"
    answer = client.get(page.links["Export"])
    assert answer["Content-Disposition"] == 'attachment; filename="acme-registries.csv"'
    (only,) = exported(answer)
    assert only["image_pattern"] == f"{HOST}/a"
    assert only["attention"] == "key over 90 days; unused for 90 days"
    assert not only["secret_access_key"]
    assert len(exported(client.get(f"{LIST}export/"))) == 5
    found = json.loads(client.get(f"{LIST}export/", {"format": "json", "q": "ute"}).getvalue())
    assert [entry["note"] for entry in found] == ["ask Ute"]
    assert b"ask Ute" in client.get(f"{LIST}export/", {"format": "yaml"}).getvalue()


def test_import_takes_an_export_back(client, alice, acme, several) -> None:
    client.force_login(alice)
    for format in ("csv", "json", "yaml"):
        content = client.get(f"{LIST}export/", {"format": format}).getvalue()
        assert CANARY not in content.decode()
        report = importing.plan(organization=acme, rows=Rows(io.BytesIO(content), format))
        assert (report.unchanged, report.errors) == (5, [])


# --- duplicate --------------------------------------------------------------------


def test_duplicate_begins_with_all_but_the_secret(look, alice, gpu, make_entry) -> None:
    entry = make_entry([f"{HOST}/a", f"{HOST}/b"], environments=[gpu], note="ask Ute")
    address = look(alice, url("entry", entry)).links["Duplicate"]
    assert address == f"{NEW}?copy={entry.pk}"
    page = look(alice, address)
    assert f"A copy of {HOST}/a: all but its secret." in page.text
    assert page.by_id["id_patterns"] == f"{HOST}/a {HOST}/b"
    assert page.fields["access_key_id"]["value"] == KEY
    assert "value" not in page.fields["secret_access_key"] and CANARY not in page.html
    assert page.fields["note"]["value"] == "ask Ute"
    assert '<option value="us-east-1" selected>' in page.html
    assert "checked" in page.attributes["id_environments_0"]


def test_duplicate_of_a_role_and_of_one_that_is_off(look, alice, make_entry) -> None:
    role = make_entry(registry_type="aws-ecr-role", enabled=False)
    page = look(alice, f"{NEW}?copy={role.pk}")
    assert page.fields["role_name"]["value"] == "ValohaiWorkerRole"
    assert "checked" not in page.fields["enabled"]
    assert "since only one enabled entry" not in page.text


def test_saving_a_copy_explains_the_duplicate(client, alice, make_entry) -> None:
    entry = make_entry(f"{HOST}/my-repo/*")
    client.force_login(alice)
    address = f"{NEW}?copy={entry.pk}"
    page = Page(client.post(address, TYPED))
    assert "has this pattern already" in page.error("patterns") and "A copy of" in page.text
    assert client.post(address, TYPED | {"patterns": f"{HOST}/other"}).status_code == 302
    assert RegistryEntry.objects.count() == 2


def test_what_cannot_be_copied(look, alice, bob, make_entry, umbrella) -> None:
    theirs = make_entry(organization=umbrella)
    for copied in (str(theirs.pk), str(uuid4()), "nonsense", ""):
        assert look(alice, f"{NEW}?copy={copied}").status == 404
    assert look(bob, f"{NEW}?copy={theirs.pk}").status == 403

"""Import in the admin: the web's preview and rules, done and told as staff."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models.functions import Now
from django.urls import reverse

from orgs.models import AuditEvent, ImportDraft, Membership, Organization, RegistryEntry, User
from orgs.services.bulk import drafts
from orgs.services.entries import door
from tests.conftest import CANARY, HOST, make_user
from tests.web.registries.test_importing import row, table

from .conftest import Page, at

UPLOAD = "organization_import"
PREVIEW = "organization_import_preview"


@pytest.fixture
def choose(stella, acme) -> Callable[..., str | Page]:
    """Choose a file: the preview's address, or the page with errors."""

    def choose(content: bytes, name="registries.csv", **data: str) -> str | Page:
        answer = stella.post(
            at(UPLOAD, acme.pk), {**data, "file": SimpleUploadedFile(name, content)}
        )
        assert "no-store" in answer["Cache-Control"]
        return answer["Location"] if answer.status_code == 302 else Page(answer)

    return choose


def fingerprint(page: Page) -> dict[str, str | None]:
    return {"fingerprint": page.fields["fingerprint"]["value"]}


def test_choose_preview_confirm(see, send, choose, acme, staff, make_entry) -> None:
    make_entry(f"{HOST}/same")
    changed = make_entry(f"{HOST}/changed", note="before")
    before = set(AuditEvent.objects.values_list("pk", flat=True))
    assert see(at("organization_change", acme.pk)).links["Import"] == at(UPLOAD, acme.pk)
    page = see(at(UPLOAD, acme.pk))
    assert page.heading == "Import entries" and {"file", "update"} <= set(page.fields)
    assert "You act as staff; Acme's audit log shows it." in page.text
    address = choose(table(row("same"), row("changed", "after"), row("new")), update="on")
    page = see(address)
    assert page.heading == "Import preview: registries.csv"
    assert "You act as staff; Acme's audit log shows it." in page.text
    assert "1 new, 1 changed, 1 unchanged." in page.text
    assert 'value="Import 2 entries"' in page.html
    assert page.texts["tr"] == [
        "Row Match pattern What happens Changes",
        f"3 {HOST}/changed → Changed note",
        f"4 {HOST}/new + New",
    ]
    assert RegistryEntry.objects.count() == 2 and len(before) == AuditEvent.objects.count()
    after = send(address, fingerprint(page))
    assert after.heading == "Registries of Acme"
    assert "registries.csv is imported: 1 new, 1 changed, 1 unchanged." in after.text
    changed.refresh_from_db()
    assert changed.note == "after" and not ImportDraft.objects.exists()
    new = RegistryEntry.objects.get(patterns__text=f"{HOST}/new")
    assert new.organization == acme and new.created_by == staff
    assert door.revealed(new) == {"secret_access_key": CANARY}
    events = AuditEvent.objects.exclude(pk__in=before)
    assert {event.action for event in events} == {"entry.created", "entry.updated"}
    for event in events:
        assert (event.actor, event.staff, event.organization) == (staff.email, True, "Acme")
        assert event.source_address == "127.0.0.1"


def test_staff_who_are_members_act_as_staff_here(stella, choose, see, send, acme, staff) -> None:
    Membership.objects.create(organization=acme, user=staff, role="admin")
    address = choose(table(row()))
    send(address, fingerprint(see(address)))
    assert AuditEvent.objects.get(action="entry.created").staff


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"", "The file is empty. Choose another."),
        ("a.txt", b"x", "ends in none of .csv, .json, .yaml or .xlsx"),
        ("a.csv", b"x" * (drafts.MAX_BYTES + 1), "The file has more than 10 MB. Split it."),
    ],
    ids=["empty", "ending", "large"],
)
def test_files_that_cannot_be_taken(name, content, sentence, choose) -> None:
    page = choose(content, name)
    assert page.title.startswith("Error: Import entries") and sentence in page.error("file")
    assert page.attributes["errors"]["autofocus"] is None
    assert not ImportDraft.objects.exists()


def test_no_file(send, acme) -> None:
    page = send(at(UPLOAD, acme.pk), {"update": "on"})
    assert "There is no file. Choose one." in page.error("file")
    assert "checked" in page.fields["update"]


def test_nothing_to_do(choose, see, make_entry) -> None:
    make_entry()
    page = see(choose(table(row())))
    assert "Every row is as its entry stands already" in page.text
    assert "fingerprint" not in page.fields
    assert "There is no row below the header" in see(choose(table())).text


def test_only_errors_are_shown_and_never_a_secret(choose, see, stella, acme, make_entry) -> None:
    """`no_canary` of conftest reads every answer here."""
    make_entry(f"{HOST}/stands", note="x")
    moved = f"{HOST}/moved,aws-ecr,{CANARY},{CANARY},{CANARY},{CANARY}"
    address = choose(table(row("fine"), row("a:v1"), row("stands"), moved, f"{CANARY},,,,,"))
    page = see(address)
    assert page.title.startswith("Error: Import preview: registries.csv")
    assert "Nothing was imported. Mend these" in page.text and "fine" not in page.text
    assert page.links["Choose the file again"] == at(UPLOAD, acme.pk)
    assert "fingerprint" not in page.fields and "You act as staff" not in page.text
    head, first, second, *_ = page.texts["tr"]
    assert head == "Rows Column Value Problem Fix"
    assert first.startswith(f"Row 3 image_pattern {HOST}/a:v1 Patterns match")
    assert second.startswith("Row 4 image_pattern") and "Allow updates" in second
    assert page.links["Download errors"] == "?errors=csv"
    answer = stella.get(f"{address}?errors=csv")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="acme-import-errors.csv"'
    told = list(csv.reader(io.StringIO(answer.getvalue().decode())))
    assert told[0] == ["Row", "Column", "Value", "Problem", "Fix"]
    assert len(told) == len(page.texts["tr"])
    assert CANARY not in str(vars(ImportDraft.objects.get())) + str(dict(stella.session))
    for made_up in ("", "x" * 64):
        after = stella.post(address, {"fingerprint": made_up}, follow=True)
        assert "Mend these" in Page(after).text
    assert RegistryEntry.objects.count() == 1


def test_what_is_certain_is_corrected(choose, see, stella, acme) -> None:
    """`no_canary` of conftest reads every answer here."""
    address = choose(table(row("a:v1"), row("b:v1")))
    page = see(address)
    assert "Correct 2 rows and look again" in page.texts["button"]
    assert page.texts["tr"][1].startswith("2 rows 2–3 image_pattern")
    refused = Page(stella.get(f"{address}?corrected=file", follow=True))
    assert "A corrected file isn't given here" in refused.text
    after = Page(stella.post(address, {"correct": "1"}, follow=True))
    assert "Corrected in registries.csv: 2 rows: a tag in the pattern; rows 2–3" in after.text
    assert "2 new, 0 changed, 0 unchanged." in after.text
    assert not RegistryEntry.objects.exists()
    role = f"{HOST}/a:v1,aws-ecr-role,,,Worker,"
    address = choose(table(role))
    assert see(address).links["Download a corrected file"] == "?corrected=file"
    answer = stella.get(f"{address}?corrected=file")
    assert answer.content.decode().splitlines()[1] == role.replace("a:v1", "a")


def test_errors_have_pages(choose, see, monkeypatch) -> None:
    monkeypatch.setattr("orgs.forms.importing.PAGE_SIZE", 1)
    page = see(choose(table(row("a:v1"), row("b", secret="a word"))))
    assert "Mend these 2 and" in page.text and len(page.texts["tr"]) == 2
    assert page.links["Next"] == "?page=2"


def test_more_rows_than_may_be(choose, see, monkeypatch) -> None:
    monkeypatch.setattr("orgs.forms.importing.MAX_ROWS", 2)
    page = see(choose(table(row("a"), row("b"), row("c"))))
    assert "The file has more than 2 rows. Split it." in " ".join(page.texts["tr"])


def test_an_expired_preview(choose, see, stella) -> None:
    address = choose(table(row()))
    data = fingerprint(see(address))
    ImportDraft.objects.update(created_at=Now() - drafts.LIFE + timedelta(seconds=30))
    assert see(address).status == 200
    ImportDraft.objects.update(created_at=Now() - drafts.LIFE)
    for answer in (
        stella.post(address, data, follow=True),
        stella.get(address, follow=True),
        stella.get(f"{address}?errors=csv", follow=True),
    ):
        page = Page(answer)
        assert page.heading == "Import entries"
        assert "This preview has expired. Choose the file again." in page.text
    assert not RegistryEntry.objects.exists() and not ImportDraft.objects.exists()


def test_confirmed_twice_is_imported_once(choose, see, send) -> None:
    address = choose(table(row()))
    data = fingerprint(see(address))
    send(address, data)
    assert "This preview has expired." in send(address, data).text
    assert RegistryEntry.objects.count() == 1


def test_changed_meanwhile_shows_the_preview_again(choose, see, send, make_entry) -> None:
    address = choose(table(row("a", "after"), row("b")), update="on")
    data = fingerprint(see(address))
    make_entry(f"{HOST}/a", note="before")
    page = send(address, data)
    assert "Registries were changed since you looked, so nothing was imported." in page.text
    assert "1 new, 1 changed, 0 unchanged." in page.text and RegistryEntry.objects.count() == 1
    assert "1 new, 1 changed" in send(address, fingerprint(page)).text
    assert RegistryEntry.objects.count() == 2


# --- who may ----------------------------------------------------------------------


def test_a_preview_is_ones_own_and_of_one_organization(choose, see, client, umbrella) -> None:
    address = choose(table(row()))
    other = make_user("boss@example.com", "Boss", is_staff=True, is_superuser=True)
    draft = ImportDraft.objects.get()
    assert "has expired" in Page(client.get(at(PREVIEW, umbrella.pk, draft.pk), follow=True)).text
    client.force_login(other)
    assert "has expired" in Page(client.get(address, follow=True)).text
    assert "has expired" in Page(client.post(address, follow=True)).text
    assert ImportDraft.objects.get() == draft and not RegistryEntry.objects.exists()


def test_strangers_and_members_sign_in_first(choose, client, acme, alice, bob, charlie) -> None:
    address = choose(table(row()))
    client.logout()
    for person in (None, charlie, bob, alice):
        if person is not None:
            client.force_login(person)
        for one in (at(UPLOAD, acme.pk), address, f"{address}?errors=csv"):
            for answer in (client.get(one), client.post(one, {"fingerprint": ""})):
                assert answer.status_code == 302
                assert answer["Location"].startswith(reverse("admin:login"))
    assert not RegistryEntry.objects.exists()


def test_staff_who_may_not_add_entries_get_403(choose, client, acme, some_staff) -> None:
    address = choose(table(row()))
    ImportDraft.objects.update(user=(helper := some_staff("change_registryentry")))
    client.force_login(helper)
    # No permission is told before no organization is.
    for one in (at(UPLOAD, acme.pk), address, f"{address}?errors=csv", at(UPLOAD, 999)):
        assert client.get(one).status_code == 403, one
        assert client.post(one, {"fingerprint": ""}).status_code == 403, one
    assert not RegistryEntry.objects.exists()


def test_the_link_is_for_those_who_may(client, acme, some_staff) -> None:
    client.force_login(some_staff("view_organization", "view_registryentry"))
    assert "Import" not in Page(client.get(at("organization_change", acme.pk))).links


def taken(client, organization: Organization, user: User, **data: str) -> str:
    client.force_login(user)
    file = SimpleUploadedFile("a.csv", table(row("stands", "after"), row("new")))
    return client.post(at(UPLOAD, organization.pk), {**data, "file": file})["Location"]


def test_who_may_only_add_changes_nothing(client, acme, some_staff, make_entry) -> None:
    stands = make_entry(f"{HOST}/stands", note="before")
    helper = some_staff("add_registryentry")
    address = taken(client, acme, helper, update="on")
    assert "update" not in Page(client.get(at(UPLOAD, acme.pk))).fields
    assert not ImportDraft.objects.get().update
    assert "An entry with this pattern stands already" in Page(client.get(address)).text
    ImportDraft.objects.update(update=True)  # the permission was taken away meanwhile
    assert client.get(address).status_code == client.post(address).status_code == 403
    stands.refresh_from_db()
    assert stands.note == "before" and RegistryEntry.objects.count() == 1


def test_who_may_only_add_adds(client, acme, some_staff) -> None:
    address = taken(client, acme, some_staff("add_registryentry"))
    client.post(address, fingerprint(Page(client.get(address))))
    assert RegistryEntry.objects.count() == 2


def test_no_such_organization(stella) -> None:
    for wrong in (999, 10**30):
        assert stella.get(at(UPLOAD, wrong)).status_code == 404
        assert stella.post(at(UPLOAD, wrong)).status_code == 404


def test_template_is_taken_back(stella, see, choose, acme) -> None:
    assert see(at(UPLOAD, acme.pk)).links["Download a template"] == "?template=csv"
    answer = stella.get(at(UPLOAD, acme.pk), {"template": "csv"})
    assert "There is no row below the header" in see(choose(answer.getvalue())).text


def test_csrf_is_asked_for(staff, acme) -> None:
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(staff)
    file = SimpleUploadedFile("a.csv", table(row()))
    assert strict.post(at(UPLOAD, acme.pk), {"file": file}).status_code == 403
    assert not ImportDraft.objects.exists()

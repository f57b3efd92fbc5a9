"""Import on the web: choose, preview, confirm; and what a preview never keeps or shows."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db.models.functions import Now

from orgs.models import AuditEvent, ImportDraft, Membership, RegistryEntry
from orgs.registries.catalogue import TYPES
from orgs.services.bulk import drafts, rotation
from orgs.services.entries import door
from tests.conftest import CANARY, HOST, make_user
from tests.test_canary import database_bytes
from tests.web.conftest import Page

pytestmark = [pytest.mark.once, pytest.mark.django_db]

IMPORT = "/organizations/acme/registries/import/"
LIST = "/organizations/acme/registries/"
KEY = "AKIAIOSFODNN7EXAMPLE"
HEADER = "image_pattern,type,access_key_id,secret_access_key,role_name,note"


def row(path="*", note="", secret=CANARY) -> str:
    return f"{HOST}/{path},aws-ecr,{KEY},{secret},,{note}"


def table(*rows: str) -> bytes:
    return "\n".join([HEADER, *rows, ""]).encode()


@pytest.fixture
def choose(client, alice):
    """Choose a file as alice: the preview's address, or the page with errors."""

    def choose(content: bytes, name="registries.csv", **data):
        client.force_login(alice)
        data["file"] = SimpleUploadedFile(name, content)
        answer = client.post(IMPORT, data)
        assert "no-store" in answer["Cache-Control"]
        return answer["Location"] if answer.status_code == 302 else Page(answer)

    return choose


@pytest.fixture
def confirm(client, look, alice):
    """Press *Import*, with what the page has; the page that follows."""

    def confirm(address: str, page: Page | None = None) -> Page:
        page = page or look(alice, address)
        fingerprint = page.fields["fingerprint"]["value"]
        return Page(client.post(address, {"fingerprint": fingerprint}, follow=True))

    return confirm


def test_choose_preview_confirm(choose, confirm, look, alice, make_entry) -> None:
    make_entry(f"{HOST}/same")
    changed = make_entry(f"{HOST}/changed", note="before")
    content = table(row("same"), row("changed", "after"), row("new", "hand-made"))
    address = choose(content, update="on")
    page = look(alice, address)
    assert page.title == "Import preview: registries.csv · Acme · Valohai Registries"
    assert page.heading == "Import preview: registries.csv"
    assert "1 new, 1 changed, 1 unchanged." in page.text
    assert "Import 2 entries" in page.texts["button"]
    assert page.texts["tr"] == [
        "Row Pattern What happens Changes",
        f"3 {HOST}/changed → Changed note",
        f"4 {HOST}/new + New",
    ]
    assert RegistryEntry.objects.count() == 2 and CANARY not in page.html
    after = confirm(address, page)
    assert after.heading == "Registries"
    assert "registries.csv is imported: 1 new, 1 changed, 1 unchanged." in after.text
    changed.refresh_from_db()
    assert changed.note == "after" and RegistryEntry.objects.count() == 3
    event = AuditEvent.objects.get(action="entry.created", subject=f"{HOST}/new")
    assert (event.actor, event.source_address) == ("alice@example.com", "127.0.0.1")
    assert not ImportDraft.objects.exists()


def test_one_entry_and_nothing_to_do(choose, look, alice, make_entry) -> None:
    assert "Import 1 entry" in look(alice, choose(table(row()))).texts["button"]
    make_entry()
    page = look(alice, choose(table(row())))
    assert "Every row is as its entry stands already" in page.text
    assert "fingerprint" not in page.fields
    assert "There is no row below the header" in look(alice, choose(table())).text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.JSON", json.dumps([{"type": "aws-ecr-role", "image_pattern": f"{HOST}/*",
                                "role_name": "Worker"}]).encode()),
        ("a.yml", f"- type: aws-ecr-role\n  image_pattern: {HOST}/*\n  role_name: W\n".encode()),
    ],
)  # fmt: skip
def test_other_formats(name, content, choose, confirm) -> None:
    assert "1 new, 0 changed, 0 unchanged." in confirm(choose(content, name)).text
    assert RegistryEntry.objects.get().registry_type == "aws-ecr-role"


def test_xlsx(choose, confirm) -> None:
    from openpyxl import Workbook

    book, file = Workbook(), io.BytesIO()
    book.active.append(HEADER.split(","))
    book.active.append(row().split(","))
    book.save(file)
    assert "1 new" in confirm(choose(file.getvalue(), "a.xlsx")).text


def test_dockers_own_file_and_what_is_said_of_it(choose, confirm, look, alice) -> None:
    auths = {"https://index.docker.io/v1/": {"username": "me", "password": CANARY}}
    address = choose(json.dumps({"auths": auths}).encode(), "config.json")
    page = look(alice, address)
    assert "Row 1: The login is for all of docker.io" in page.text and CANARY not in page.text
    assert "1 new" in confirm(address, page).text
    assert RegistryEntry.objects.get().pattern_texts == ["docker.io/*"]


def test_a_file_in_windows_1252_is_said_to_be_one(choose, confirm, look, alice) -> None:
    address = choose(table(row(note="Größe")).decode().encode("cp1252"))
    page = look(alice, address)
    assert "Row 2: The file isn't UTF-8" in page.text
    assert "1 new" in confirm(address, page).text
    assert RegistryEntry.objects.get().note == "Größe"
    page = look(alice, choose(table(row(secret="ä")).decode().encode("cp1252")))
    assert "Save the file as “CSV UTF-8”" in page.text and "fingerprint" not in page.fields


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"", "The file is empty. Choose another."),
        ("a.txt", b"x", "ends in none of .csv, .json, .yaml or .xlsx"),
        ("a.csv.zip", b"x", "ends in none of"),
        ("a.csv", b"x" * (drafts.MAX_BYTES + 1), "The file has more than 10 MB. Split it."),
    ],
    ids=["empty", "ending", "another-ending", "large"],
)
def test_files_that_cannot_be_taken(name, content, sentence, choose) -> None:
    page = choose(content, name)
    assert page.title.startswith("Error: Import entries") and sentence in page.error("file")
    assert page.attributes["errors"]["autofocus"] is None
    assert not ImportDraft.objects.exists()


def test_no_file(client, alice) -> None:
    client.force_login(alice)
    page = Page(client.post(IMPORT, {"update": "on"}))
    assert "There is no file. Choose one." in page.error("file")
    assert "checked" in page.fields["update"]


def test_a_file_as_large_as_may_be_leaves_no_temporary_one(choose, monkeypatch) -> None:
    def refuse(*args, **kwargs):
        raise AssertionError("a temporary file")

    for name in ("NamedTemporaryFile", "TemporaryFile", "SpooledTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, refuse)
    monkeypatch.setattr("django.core.files.temp.NamedTemporaryFile", refuse)
    content = table(row()).ljust(drafts.MAX_BYTES, b"\n")
    assert choose(content).startswith(IMPORT)


def test_more_rows_than_may_be(choose, look, alice, monkeypatch) -> None:
    monkeypatch.setattr("orgs.forms.importing.MAX_ROWS", 2)
    assert "2 new" in look(alice, choose(table(row("a"), row("b")))).text
    page = look(alice, choose(table(row("a"), row("b"), row("c"))))
    assert "The file has more than 2 rows. Split it." in " ".join(page.texts["tr"])


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.slug)
def test_a_template_of_one_type(kind, look, client, alice) -> None:
    page = look(alice, IMPORT)
    assert page.links[f"Template for {kind.label}"] == f"{IMPORT}template.csv?type={kind.slug}"
    assert f"Pattern such as {kind.example_pattern}" in page.text
    answer = client.get(f"{IMPORT}template.csv", {"type": kind.slug})
    assert f'filename="{kind.slug}-template.csv"' in answer["Content-Disposition"]
    head = answer.getvalue().decode().strip().split(",")
    last = ["environments", "enabled", "note", *(["secret_expires_on"] * bool(kind.secret_fields))]
    own = [field.name for field in kind.fields]
    assert head == ["image_pattern", "type", *own, *last]
    for other in ("nothing", ""):
        whole = client.get(f"{IMPORT}template.csv", {"type": other}).getvalue().decode()
        assert "username" in whole and "role_name" in whole


# --- errors ---------------------------------------------------------------------


def test_only_errors_are_shown(choose, look, alice, make_entry) -> None:
    make_entry(f"{HOST}/stands", note="x")
    content = table(row("fine"), row("tagged:v1"), row("stands"), row("x", secret="a word"))
    address = choose(content)
    page = look(alice, address)
    assert page.title.startswith("Error: Import preview: registries.csv")
    assert "Nothing was imported. Mend these 3 and choose the file again." in page.text
    assert "fingerprint" not in page.fields and page.links["Choose the file again"] == IMPORT
    head, *rows = page.texts["tr"]
    assert head == "Rows Column Value Problem Fix"
    assert rows[0].startswith(f"Row 3 image_pattern {HOST}/tagged:v1 Patterns match")
    assert "Allow updates (“Update entries that differ”" in rows[1]
    assert rows[2].startswith(
        "Row 5 secret_access_key •••• This isn't a Secret Access Key: 5 characters, 35 short."
    )
    assert "fine" not in page.text and RegistryEntry.objects.count() == 1


def test_one_error_reads_as_one(choose, look, alice) -> None:
    assert "Mend this one and choose" in look(alice, choose(table(row("a:v1")))).text


def test_errors_as_a_file(choose, look, client, alice) -> None:
    content = table(row("a:v1"), row("b", note="=1+1\x07"))
    address = choose(content)
    page = look(alice, address)
    assert page.links["Download errors"] == f"{address}errors.csv"
    answer = client.get(f"{address}errors.csv")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="acme-import-errors.csv"'
    head, *rows = csv.reader(io.StringIO(answer.getvalue().decode()))
    assert head == ["Row", "Column", "Value", "Problem", "Fix"]
    assert [found[:3] for found in rows] == [
        ["2", "image_pattern", f"{HOST}/a:v1"],
        ["3", "note", "‹5 characters›"],
    ]


def test_errors_have_pages(choose, look, alice, monkeypatch) -> None:
    monkeypatch.setattr("orgs.forms.importing.PAGE_SIZE", 1)
    page = look(alice, choose(table(row("a:v1"), row("b", secret="a word"))))
    assert "Mend these 2 and" in page.text and len(page.texts["tr"]) == 2
    assert page.links["Next"] == "?page=2"


def test_confirming_a_file_with_errors_writes_nothing(choose, client) -> None:
    address = choose(table(row("a"), row("b:v1")))
    for fingerprint in ("", "x" * 64):
        page = Page(client.post(address, {"fingerprint": fingerprint}, follow=True))
        assert "Mend this one" in page.text
    assert not RegistryEntry.objects.exists()


def tagged(count: int, secret: str = CANARY) -> bytes:
    return table(*(row(f"a{n}:v{n}", secret=secret) for n in range(count)))


def role(path: str) -> str:
    return f"{HOST}/{path},aws-ecr-role,,,Worker,kept as it is"


def test_the_same_problem_of_many_rows_is_told_once(choose, look, alice) -> None:
    page = look(alice, choose(table(*(row(f"a{n}:v{n}") for n in range(1200)), row("", note="x"))))
    assert "Mend these 1,201 and choose the file again, or have them" in page.text
    head, many, one = page.texts["tr"]
    assert head == "Rows Column Value Problem Fix"
    assert many.startswith(
        f"1,200 rows 2–1201 image_pattern {HOST}/a0:v0 {HOST}/a1:v1 {HOST}/a2:v2 and 1,197 more "
        "A tag in the pattern. Row 2: Patterns match repositories, not tags"
    )
    assert f"Leave the tag out: every tag is covered. Row 2: Write {HOST}/a0;" in many
    assert one.startswith(f"Row 1202 image_pattern {HOST}/ ")


def test_what_is_certain_is_corrected_and_looked_at_again(choose, confirm, look, client, alice):
    content = tagged(3) + row("b", note="mine").encode() + b"\n"
    address = choose(content)
    page = look(alice, address)
    assert "choose the file again, or have them corrected here." in page.text
    assert "Correct 3 rows and look again" in page.texts["button"]
    assert "Download a corrected file" not in page.links and "it holds secrets" in page.text
    after = Page(client.post(address, {"correct": "1"}, follow=True))
    assert "4 new, 0 changed, 0 unchanged." in after.text and CANARY not in after.html
    assert "Corrected in registries.csv: 3 rows: a tag in the pattern; rows 2–4" in after.text
    assert f"{HOST}/a0:v0 →is now {HOST}/a0" in after.text and "errors" not in after.by_id
    assert not RegistryEntry.objects.exists()
    draft = ImportDraft.objects.get()
    assert CANARY.encode() not in database_bytes() and draft.file_name == "registries.csv"
    assert client.get(address)["Location"] == IMPORT  # the one before is gone
    confirm(f"{IMPORT}{draft.pk}/", after)
    assert sorted(e.pattern_texts[0] for e in RegistryEntry.objects.all()) == [
        f"{HOST}/a0", f"{HOST}/a1", f"{HOST}/a2", f"{HOST}/b",
    ]  # fmt: skip
    assert all(door.revealed(entry)["secret_access_key"] == CANARY
               for entry in RegistryEntry.objects.all())  # fmt: skip


def test_what_is_not_certain_stays(choose, look, client, alice) -> None:
    address = choose(table(row("a:v1"), row("b:v1"), row("c", secret="a word")), update="on")
    page = look(alice, address)
    assert "Correct 2 rows and look again" in page.texts["button"]
    assert "Mend these 3 and choose the file again." in page.text
    after = Page(client.post(address, {"correct": "1"}, follow=True))
    assert "Mend this one" in after.text and "Corrected in registries.csv: 2 rows" in after.text
    assert not any("look again" in button for button in after.texts["button"])
    draft = ImportDraft.objects.get()
    assert draft.update
    # Pressed again, from a page of before.
    again = Page(client.post(f"{IMPORT}{draft.pk}/", {"correct": "1"}, follow=True))
    assert "can't be corrected here" in again.text and ImportDraft.objects.get() == draft


def test_corrections_add_up(choose, client) -> None:
    """What hid behind one is found by the next look."""
    address = choose(table(f"{HOST}/a:v1,aws-ecr-role,,,Worker,", f"{HOST}/a,aws-ecr-role,,,W,"))
    page = Page(client.post(address, {"correct": "1"}, follow=True))
    assert "Corrected in registries.csv: 1 row: a tag in the pattern; row 2" in page.text
    assert "Row 2 has such a pattern already" in page.text


def test_a_corrected_file_where_no_secret_is_in_it(choose, look, client, alice) -> None:
    address = choose(table(role("a:v1"), role("b")), name="our list.csv")
    page = look(alice, address)
    assert page.links["Download a corrected file"] == "?corrected=file"
    answer = client.get(address, {"corrected": "file"})
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="our list-corrected.csv"'
    assert "no-store" in answer["Cache-Control"]
    assert answer.content.decode().splitlines() == [HEADER, role("a"), role("b")]
    assert "2 new" in look(alice, choose(answer.content)).text


@pytest.mark.parametrize(
    "content",
    [
        tagged(2),
        table(role("a:v1"), row("b")),
        table(role("a:v1").replace("kept as it is", CANARY)),
        table(role("a:v1"), role("b,,")),
        table(role("a")),
    ],
    ids=["secrets", "secret-elsewhere", "secret-in-the-note", "not-all-certain", "nothing-wrong"],
)
def test_else_no_corrected_file_is_given(content, choose, look, client, alice) -> None:
    address = choose(content)
    answer = client.get(address, {"corrected": "file"}, follow=True)
    page = Page(answer)
    assert page.heading == "Import preview: registries.csv"
    assert "A corrected file isn't given here" in page.text and CANARY not in page.html
    assert CANARY not in look(alice, address).html


def test_a_workbook_is_corrected_as_a_table(choose, look, client, alice) -> None:
    from openpyxl import Workbook

    book, file = Workbook(), io.BytesIO()
    for cells in (HEADER, role("a:v1")):
        book.active.append([cell or None for cell in cells.split(",")])
    book.save(file)
    address = choose(file.getvalue(), "a.xlsx")
    assert "Download a corrected file (CSV)" in look(alice, address).links
    answer = client.get(address, {"corrected": "file"})
    assert answer["Content-Disposition"] == 'attachment; filename="a-corrected.csv"'
    page = Page(client.post(address, {"correct": "1"}, follow=True))
    assert "Corrected in a.xlsx" in page.text and "1 new" in page.text


def test_nobody_elses_file_is_corrected(choose, client, acme, alice, bob, charlie) -> None:
    address = choose(table(role("a:v1")))
    other = make_user("olga@example.com", "Olga")
    Membership.objects.create(organization=acme, user=other, role="admin")
    for person, status in ((charlie, 404), (bob, 403)):
        client.force_login(person)
        assert client.post(address, {"correct": "1"}).status_code == status
        assert client.get(address, {"corrected": "file"}).status_code == status
    client.force_login(other)
    for answer in (
        client.post(address, {"correct": "1"}),
        client.get(address, {"corrected": "file"}),
    ):
        assert answer["Location"] == IMPORT
    client.force_login(alice)
    ImportDraft.objects.update(created_at=Now() - drafts.LIFE)
    assert client.post(address, {"correct": "1"})["Location"] == IMPORT
    assert not ImportDraft.objects.exists()


# --- the draft ------------------------------------------------------------------


def test_an_expired_preview(choose, look, client, alice) -> None:
    address = choose(table(row()))
    fingerprint = look(alice, address).fields["fingerprint"]["value"]
    ImportDraft.objects.update(created_at=Now() - drafts.LIFE + timedelta(seconds=30))
    assert look(alice, address).status == 200
    ImportDraft.objects.update(created_at=Now() - drafts.LIFE)
    for page in (
        Page(client.post(address, {"fingerprint": fingerprint}, follow=True)),
        Page(client.get(address, follow=True)),
        Page(client.get(f"{address}errors.csv", follow=True)),
    ):
        assert page.heading == "Import entries"
        assert "This preview has expired. Choose the file again." in page.text
    assert not RegistryEntry.objects.exists() and not ImportDraft.objects.exists()


def test_confirmed_twice_is_imported_once(choose, look, confirm, client, alice) -> None:
    address = choose(table(row()))
    page = look(alice, address)
    confirm(address, page)
    assert "This preview has expired." in confirm(address, page).text
    assert RegistryEntry.objects.count() == 1


def test_another_file_takes_the_place_of_the_first(choose, look, confirm, alice) -> None:
    first = choose(table(row("first")))
    page = look(alice, first)
    second = choose(table(row("second")))
    assert ImportDraft.objects.count() == 1
    assert "This preview has expired." in confirm(first, page).text
    assert not RegistryEntry.objects.exists()
    confirm(second)
    assert RegistryEntry.objects.get().pattern_texts == [f"{HOST}/second"]


def test_a_preview_is_ones_own(choose, client, acme, umbrella, alice, charlie, staff) -> None:
    address = choose(table(row()))
    other_admin = make_user("erin@example.com", "Erin")
    Membership.objects.create(organization=acme, user=other_admin, role="admin")
    client.force_login(other_admin)
    assert "has expired" in Page(client.get(address, follow=True)).text
    assert "has expired" in Page(client.post(address, follow=True)).text
    client.force_login(charlie)
    assert client.get(address).status_code == 404
    assert client.get(address.replace("acme", "umbrella"), follow=True).status_code == 200
    client.force_login(staff)
    assert client.post(address).status_code == 403
    Membership.objects.create(organization=umbrella, user=alice, role="admin")
    client.force_login(alice)
    elsewhere = client.get(address.replace("acme", "umbrella"), follow=True)
    assert "has expired" in Page(elsewhere).text
    assert not RegistryEntry.objects.exists()


def test_changed_meanwhile_shows_the_preview_again(
    choose, look, confirm, client, alice, make_entry
) -> None:
    address = choose(table(row("a", "after"), row("b")), update="on")
    before = look(alice, address)
    assert "2 new, 0 changed" in before.text
    make_entry(f"{HOST}/a", note="before")
    page = confirm(address, before)
    assert "Registries were changed since you looked, so nothing was imported." in page.text
    assert "1 new, 1 changed, 0 unchanged." in page.text and RegistryEntry.objects.count() == 1
    assert "1 new, 1 changed" in confirm(address, page).text
    assert RegistryEntry.objects.count() == 2


def test_drafts_are_dropped_and_resealed(choose, acme, alice, bob, settings) -> None:
    from cryptography.fernet import Fernet

    old = drafts.draft_store(
        organization=acme, user=bob, file_name="o", format="csv", content=b"x", update=False
    )
    ImportDraft.objects.update(created_at=Now() - drafts.LIFE)
    choose(table(row()))
    assert not ImportDraft.objects.filter(pk=old.pk).exists()
    draft = ImportDraft.objects.get()
    settings.FERNET_KEYS = [Fernet.generate_key().decode(), *settings.FERNET_KEYS]
    rotation.rotate_secrets()
    settings.FERNET_KEYS = settings.FERNET_KEYS[:1]
    found = drafts.draft_load(organization=acme, user=alice, draft_id=draft.pk)
    assert found is not None and found[1] == table(row())
    settings.FERNET_KEYS = [Fernet.generate_key().decode()]
    assert drafts.draft_load(organization=acme, user=alice, draft_id=draft.pk) is None
    assert not ImportDraft.objects.exists()


def test_pruning_drops_previews_that_nobody_came_back_to(choose) -> None:
    choose(table(row()))
    call_command("prune_audit_log", stdout=io.StringIO())
    assert ImportDraft.objects.exists()
    ImportDraft.objects.update(created_at=Now() - drafts.LIFE)
    call_command("prune_audit_log", stdout=io.StringIO())
    assert not ImportDraft.objects.exists()


def test_a_draft_opens_in_its_own_row_only(choose, acme, alice) -> None:
    choose(table(row()))
    copied = ImportDraft.objects.get()
    ImportDraft.objects.update(id=uuid4())
    moved = ImportDraft.objects.get()
    assert moved.pk != copied.pk
    assert drafts.draft_load(organization=acme, user=alice, draft_id=moved.pk) is None


# --- what is given ---------------------------------------------------------------


def test_template_is_taken_back(client, look, alice, choose) -> None:
    page = look(alice, IMPORT)
    assert page.links["template"] == f"{IMPORT}template.csv"
    answer = client.get(f"{IMPORT}template.csv")
    text = answer.getvalue().decode()
    assert text.startswith("image_pattern,type,access_key_id,secret_access_key,region,role_arn")
    assert len(text.splitlines()) == 1
    assert "There is no row below the header" in look(alice, choose(text.encode())).text


@pytest.mark.django_db(transaction=True)
def test_the_canary_is_nowhere(choose, look, client, alice, acme, make_entry, tmp_path) -> None:
    make_entry(f"{HOST}/stands")
    moved = f"{HOST}/moved,aws-ecr,{CANARY},{CANARY},{CANARY},{CANARY}"
    for rows in ([row("a"), row("stands")], [row("a:v1"), moved, f"{CANARY},{CANARY},,,,"]):
        address = choose(table(*rows), name="registries.csv")
        shown = look(alice, address).html
        shown += client.get(f"{address}errors.csv").getvalue().decode()
        for format in ("csv", "json", "yaml"):
            shown += client.get(f"{LIST}export/", {"format": format}).getvalue().decode()
        shown += str(dict(client.session)) + str(vars(ImportDraft.objects.get()))
        assert CANARY not in shown and CANARY[9:] not in shown
        call_command("dumpdata", output=str(tmp_path / "dump.json"), verbosity=0)
        kept = (tmp_path / "dump.json").read_bytes() + database_bytes()
        assert b"registries.csv" in kept and CANARY.encode() not in kept
    assert door.revealed(RegistryEntry.objects.get()) == {"secret_access_key": CANARY}


def test_a_preview_makes_way_and_an_import_does_not(choose, look, confirm, alice, monkeypatch):
    """Threads that answer workers wait 5 ms for the interpreter else, many times a login."""
    pauses = []
    monkeypatch.setattr("orgs.forms.importing.time", SimpleNamespace(sleep=pauses.append))
    address = choose(table(*(row(f"a{n}") for n in range(30))))
    page = look(alice, address)
    assert len(pauses) == 20  # of both passes, after every third row
    confirm(address, page)
    assert len(pauses) == 20 and RegistryEntry.objects.count() == 30

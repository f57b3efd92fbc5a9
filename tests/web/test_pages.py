"""What each page shows: title, one heading, sentences; and in as many queries for more."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.tokens import default_token_generator
from django.test import RequestFactory
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from orgs.models import AuditEvent, Membership, Project, RegistryEntry, User
from orgs.registries.private import private, whole
from orgs.services.audit.events import record
from orgs.services.entries import door
from orgs.services.entries.validating import EntrySpec
from orgs.web.views import crashed
from tests.conftest import CANARY, HOST, PASSWORD, changed_to

from .conftest import NEW, Page, url

LIST = "/organizations/acme/registries/"


def test_titles_and_headings(look, alice, acme, make_entry) -> None:
    entry = make_entry()
    pages = {
        "/organizations/acme/": ("Acme", "Acme"),
        LIST: ("Registries · Acme", "Registries"),
        NEW: ("Add a new entry · Acme", "Add a new entry"),
        url("entry", entry): (f"{HOST}/* · Acme", f"{HOST}/*"),
        url("entry_edit", entry): (f"Edit {HOST}/* · Acme", "Edit entry"),
        url("entry_delete", entry): (f"Delete {HOST}/* · Acme", "Delete this entry?"),
    }
    for address, (title, heading) in pages.items():
        page = look(alice, address)
        assert (page.title, page.heading) == (f"{title} · Valohai Registries", heading)
        assert page.html.index("Skip to content") < page.html.index("<header")
        assert " style=" not in page.html and "<style" not in page.html
        assert " onclick" not in page.html and CANARY not in page.html


def test_menu(look, alice, umbrella, acme) -> None:
    Membership.objects.create(organization=umbrella, user=alice, role="member")
    page = look(alice, "/organizations/acme/")
    assert "Hi, Alice" in page.texts["summary"]
    assert page.links["Manage Acme"] == "/organizations/acme/"
    assert page.links["Umbrella"] == "/organizations/umbrella/"
    assert "Sign out" in page.texts["button"]


def test_sign_in_and_out(client, alice) -> None:
    page = Page(client.get("/accounts/login/?next=/organizations/acme/"))
    assert page.title == "Sign in · Valohai Registries"
    assert "autofocus" not in page.fields["username"]
    wrong = Page(
        client.post("/accounts/login/", {"username": "alice@example.com", "password": "x"})
    )
    assert wrong.title.startswith("Error: Sign in")
    assert "1 error" in wrong.texts["h2"]
    assert wrong.fields["username"]["value"] == "alice@example.com"
    assert "value" not in wrong.fields["password"]
    typed = {"username": " Alice@Example.com", "password": PASSWORD, "next": "/organizations/acme/"}
    assert client.post("/accounts/login/", typed).url == "/organizations/acme/"
    assert client.post("/accounts/logout/").url == "/accounts/login/"
    assert client.get("/organizations/acme/").status_code == 302


def test_set_password(client, db) -> None:
    person = User.objects.create_user("new@example.com", name="Nia")
    uid, token = urlsafe_base64_encode(force_bytes(person.pk)), None
    token = default_token_generator.make_token(person)
    link = f"/accounts/password/{uid}/{token}/"
    step = client.get(link).url
    page = Page(client.get(step))
    assert page.heading == "Set your password" and "new@example.com" in page.text
    short = Page(client.post(step, {"new_password1": "short", "new_password2": "short"}))
    assert short.title.startswith("Error: ") and short.error("new_password2")
    good = "horse battery staple correct"
    assert client.post(step, {"new_password1": good, "new_password2": good}).url == "/"
    assert Page(client.get("/")).status == 200
    again = Page(client.get(link, follow=True))
    assert "This link doesn't work any more" in again.text


def test_home(look, alice, bob, acme, umbrella, make_entry) -> None:
    entry = make_entry()
    RegistryEntry.objects.filter(pk=entry.pk).update(status="failing")
    Membership.objects.create(organization=umbrella, user=alice, role="member")
    Project.objects.create(name="playground", user=alice)
    page = look(alice, "/")
    assert page.heading == "Your organizations"
    assert page.links["Acme"] == "/organizations/acme/"
    assert "Org admin" in page.text and "1 failing" in page.text
    assert "playground can't use private registries" in page.text
    assert look(bob, "/").status == 302
    nobody = User.objects.create_user("nobody@example.com", PASSWORD, name="Nora")
    sentence = "You aren't in an organization yet. Ask an org admin to add nobody@example.com."
    assert sentence in look(nobody, "/").text


def test_overview(look, alice, bob, project, make_entry) -> None:
    page = look(alice, "/organizations/acme/")
    assert "To begin with" in page.texts["h2"] and "Nothing needs you." in page.text
    assert "first-project" in page.text and str(project.pk) in page.text
    entry = make_entry()
    key = private(" AKIAIOSFODNN7EXAMPLE")
    detail = f"AWS accepts the key{key}, but its user may not call ecr:X. Attach it."
    RegistryEntry.objects.filter(pk=entry.pk).update(
        status="failing", status_at=timezone.now(), status_detail=detail
    )
    page = look(alice, "/organizations/acme/")
    assert "Done" in page.text and whole(detail) in page.text
    page = look(bob, "/organizations/acme/")
    assert "AWS accepts the key, but its user may not call ecr:X. Attach it." in page.text
    assert "AKIA" not in page.html
    RegistryEntry.objects.update(last_used_at=timezone.now())
    assert "To begin with" not in look(alice, "/organizations/acme/").texts["h2"]


def test_overview_names_old_keys_and_unused_entries(look, alice, make_entry) -> None:
    old = timezone.now() - timedelta(days=91)
    entry = make_entry()
    RegistryEntry.objects.filter(pk=entry.pk).update(created_at=old, secrets_changed_at=old)
    page = look(alice, "/organizations/acme/")
    assert "Its key is more than 90 days old. Not used for 90 days." in page.text
    door.entry_set_enabled(entry=entry, actor=door.Actor("x"), enabled=False)
    assert "Nothing needs you." in look(alice, "/organizations/acme/").text


def test_list(look, alice, bob, make_entry) -> None:
    empty = look(alice, LIST)
    assert "No registries yet. Add an entry and every project of Acme can pull" in empty.text
    make_entry()
    make_entry(f"{HOST}/roles/*", registry_type="aws-ecr-role")
    make_entry(f"{HOST}/off/*", enabled=False)
    failing = make_entry([f"{HOST}/bad/*", f"{HOST}/worse/*"], note="for Ute")
    RegistryEntry.objects.filter(pk=failing.pk).update(status="failing")
    page = look(alice, LIST)
    rows = page.texts["tr"][1:]
    assert rows[0].startswith(f"{HOST}/bad/* +1 ECR, IAM key ▲ Failing Never")
    assert any("□ Disabled" in row for row in rows)
    assert any("◇ Checked on workers" in row for row in rows)
    assert any("○ Not verified" in row for row in rows)
    assert len(look(alice, LIST, q="ute").texts["tr"]) == 2
    assert len(look(alice, LIST, q="IOSFODNN7").texts["tr"]) == 4
    assert "No entry fits these filters. Clear filters" in look(bob, LIST, q="IOSFODNN7").text
    assert look(alice, LIST, q="ROLES/").fields["q"]["value"] == "ROLES/"


def test_list_has_pages(look, alice, make_entry) -> None:
    for n in range(51):
        make_entry(f"{HOST}/repo-{n}")
    page = look(alice, LIST, q="repo")
    assert "Page 1 of 2" in page.text and len(page.texts["tr"]) == 51
    assert page.links["Next"] == "?q=repo&page=2"
    assert len(look(alice, LIST, q="repo", page="2").texts["tr"]) == 2
    assert "Page 2 of 2" in look(alice, LIST, page="99").text


def test_entry(look, alice, bob, make_entry, actor) -> None:
    entry = make_entry([f"{HOST}/my-repo/*", f"{HOST}/team-*/x"], note="ask Ute")
    changed = EntrySpec(
        "aws-ecr", [f"{HOST}/my-repo/*"], {**entry.config, "access_key_id": "AKIAI44QH8DHBEXAMPLE"},
        {"secret_access_key": CANARY[::-1]},
    )  # fmt: skip
    page = look(alice, url("entry", entry))
    assert f"image: {HOST}/my-repo:v1.0" in page.text
    assert "Access Key ID AKIAIOSFODNN7EXAMPLE" in page.text and "Region us-east-1" in page.text
    assert page.links["Replace"] == url("entry_edit", entry) + "?replace=1"
    assert "Secret set" in page.text and "UTC" in page.text
    assert page.texts["button"].index("Disable") < len(page.texts["button"])
    assert page.html.index(">Disable<") < page.html.index(">Delete<")
    assert "Added by tests" in page.text
    door.entry_update(entry=entry, actor=actor, change=changed_to(changed))
    page = look(alice, url("entry", entry))
    assert "Access Key ID: AKIAIOSFODNN7EXAMPLE → AKIAI44QH8DHBEXAMPLE" in page.text
    assert "Secret: changed" in page.text
    assert "Note: ask Ute → –" in page.text
    assert f"Match pattern: {HOST}/my-repo/*, {HOST}/team-*/x → {HOST}/my-repo/*" in page.text
    assert CANARY not in page.html and CANARY[::-1] not in page.html
    page = look(bob, url("entry", entry))
    assert "AKIA" not in page.html and "History" not in page.text
    assert "Replace" not in page.links and "Edit" not in page.links


def test_failing_entry_says_what_and_how_to_mend_it(look, alice, make_entry) -> None:
    entry = make_entry()
    RegistryEntry.objects.filter(pk=entry.pk).update(
        status="failing", status_at=timezone.now(), status_detail="AWS says no. Mend <it>."
    )
    page = look(alice, url("entry", entry))
    assert "▲ Failing" in page.text and "AWS says no. Mend <it>." in page.text
    assert "<it>" not in page.html


def test_disable_and_enable(client, look, alice, make_entry) -> None:
    entry = make_entry()
    answer = client.post(url("entry_disable", entry), follow=True)
    assert Page(answer).heading == "Sign in"
    client.force_login(alice)
    page = Page(client.post(url("entry_disable", entry), follow=True))
    assert f"{HOST}/* is disabled." in page.text and "Enable again" in page.texts["button"]
    make_entry()
    page = Page(client.post(url("entry_enable", entry), follow=True))
    assert "has this pattern already" in page.text and "□ Disabled" in page.text
    assert client.get(url("entry_enable", entry)).status_code == 405


def test_delete_says_what_stops_working(client, look, alice, project, make_entry, actor) -> None:
    entry = make_entry()
    page = look(alice, url("entry_delete", entry))
    assert "Not used in 7 days. The secret is erased; this can't be undone." in page.text
    assert "12 hours" not in page.text
    RegistryEntry.objects.update(last_used_at=timezone.now())
    assert "run out by themselves, within 12 hours" in look(alice, url("entry_delete", entry)).text
    for _ in range(2):
        record(
            actor=actor,
            action="login.issued",
            organization=entry.organization,
            project=project,
            subject_id=entry.pk,
        )
    page = look(alice, url("entry_delete", entry))
    sentence = "Used 2 times in 7 days by first-project; their next pull will fail. The secret is"
    assert sentence in page.text
    assert [b for b in page.texts["button"] if b != "Sign out"] == ["Disable instead", "Delete"]
    assert page.links["Cancel"] == url("entry", entry)
    after = Page(client.post(url("entry_delete", entry), follow=True))
    assert after.heading == "Registries" and f"{HOST}/* is deleted." in after.text
    assert not RegistryEntry.objects.exists()
    assert AuditEvent.objects.filter(action="entry.deleted", actor="alice@example.com").exists()


def test_500_needs_nothing(db) -> None:
    page = Page(crashed(RequestFactory().get("/")))
    assert page.status == 500 and page.heading == "Something broke"


def test_strict_content_security_policy(client, alice) -> None:
    client.force_login(alice)
    policy = client.get(NEW)["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "no-store" in client.get(NEW)["Cache-Control"]

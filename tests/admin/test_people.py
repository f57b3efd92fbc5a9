"""People: no hash is shown, a password is set by a link, and nobody raises themselves."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from orgs.models import AuditEvent, User
from tests.conftest import PASSWORD, make_user

from .conftest import Page, at

NEW = {"email": "New@Example.com", "name": "Nora", "password": ""}


def told(action: str) -> AuditEvent:
    event = AuditEvent.objects.get(action=action)
    assert event.staff and event.actor == "staff@example.com"
    return event


def test_add_with_a_link(client, send) -> None:
    page = send(at("user_add"), NEW)
    nora = User.objects.get(email="new@example.com")
    assert not nora.has_usable_password() and page.heading == "A link for Nora"
    link = re.search(r"http://127.0.0.1:8000(/accounts/password/\S+)", page.text)[1]
    assert told("user.created").subject == told("user.link_issued").subject == nora.email
    client.logout()
    form = client.get(link, follow=True).redirect_chain[-1][0]
    passwords = {"new_password1": PASSWORD, "new_password2": PASSWORD}
    client.post(form, passwords)
    assert client.login(username=nora.email, password=PASSWORD)
    assert "work any more" in client.get(link, follow=True).content.decode()


def test_add_with_a_password(client, send) -> None:
    page = send(at("user_add"), {**NEW, "password": PASSWORD})
    assert "/accounts/password/" not in page.html and PASSWORD not in page.html
    assert client.login(username="new@example.com", password=PASSWORD)
    assert PASSWORD not in str(list(AuditEvent.objects.values()))


@pytest.mark.parametrize(
    ("data", "field", "sentence"),
    [
        ({"password": "short"}, "password", "too short"),
        ({"password": "password1234"}, "password", "too common"),
        ({"email": "ALICE@example.com"}, "email", "already exists"),
        ({"email": "nobody"}, "email", "valid"),
        ({"name": ""}, "name", "is empty. Enter it"),
    ],
)
def test_add_refuses(data, field, sentence, send, alice) -> None:
    page = send(at("user_add"), {**NEW, "password": PASSWORD, **data})
    assert sentence in page.error(field)
    assert PASSWORD not in page.html and "value" not in page.fields["password"]
    assert not User.objects.filter(name="Nora").exists()


def test_no_page_shows_a_hash(see, alice) -> None:
    for address in (
        at("user_changelist"),
        at("user_change", alice.pk),
        at("user_delete", alice.pk),
        at("user_history", alice.pk),
    ):
        html = see(address).html
        assert alice.password not in html and alice.password.split("$")[-1] not in html
        assert "algorithm" not in html


@pytest.mark.parametrize("lookup", ["password", "password__startswith", "password__regex"])
def test_no_list_is_asked_by_hash(lookup, stella, alice) -> None:
    assert stella.get(at("user_changelist"), {lookup: "m"}).status_code == 400


def test_change(see, send, alice) -> None:
    page = see(at("user_change", alice.pk))
    assert {"email", "name", "is_active", "is_staff"} <= set(page.fields)
    permission = next(
        found["value"]
        for found in re.finditer(r'value="(?P<value>\d+)".{0,80}?Can view user', page.html, re.S)
    )
    data = {"email": "ALICE@example.com", "name": "Alice B", "user_permissions": permission}
    send(at("user_change", alice.pk), {**data, "is_staff": "on"})
    alice.refresh_from_db()
    assert (alice.email, alice.name, alice.is_active) == ("alice@example.com", "Alice B", False)
    assert alice.check_password(PASSWORD)
    changes = told("user.updated").properties["changes"]
    assert changes["name"] == ["Alice", "Alice B"] and changes["is_active"] == [True, False]
    assert changes["permissions"] == [[], ["view_user"]] and "email" not in changes


def test_a_link_for_someone_known(send, stella, alice) -> None:
    assert stella.get(at("user_password_link", alice.pk)).status_code == 405
    page = send(at("user_password_link", alice.pk), {})
    assert page.links["Back to alice@example.com"] == at("user_change", alice.pk)
    assert "/accounts/password/" in page.text and told("user.link_issued")
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


def test_delete(see, send, alice, bob) -> None:
    assert "1 membership" in see(at("user_delete", bob.pk)).text
    send(at("user_delete", bob.pk), {"post": "yes"})
    assert not User.objects.filter(pk=bob.pk).exists()
    assert told("member.removed").organization == "Acme"
    assert told("user.deleted").subject == bob.email


def test_nobody_locks_themselves_out(see, stella, staff) -> None:
    page = see(at("user_change", staff.pk))
    assert {"is_active", "is_staff", "is_superuser"}.isdisjoint(page.fields)
    assert stella.get(at("user_delete", staff.pk)).status_code == 403


def test_nobody_gives_powers_they_do_not_have(client, some_staff, alice, staff) -> None:
    helga = some_staff("view_user", "change_user", "delete_user", "add_user")
    client.force_login(helga)
    page = Page(client.get(at("user_change", alice.pk)))
    assert {"is_staff", "is_superuser", "user_permissions"}.isdisjoint(page.fields)
    data = {"email": alice.email, "name": "A", "is_active": "on"}
    client.post(at("user_change", alice.pk), {**data, "is_staff": "on", "is_superuser": "on"})
    alice.refresh_from_db()
    assert alice.name == "A" and not alice.is_staff and not alice.is_superuser
    other = make_user("other@example.com", "Otto", is_staff=True)
    for colleague in (staff, other, helga):
        assert client.post(at("user_password_link", colleague.pk)).status_code == 403
        assert client.post(at("user_change", colleague.pk), data).status_code == 403
        assert client.post(at("user_delete", colleague.pk), {"post": "yes"}).status_code == 403
        assert client.get(at("user_change", colleague.pk)).status_code == 200


def test_its_history_leads_to_all_that_happened(see, alice, acme, make_entry) -> None:
    entry = make_entry()
    for name, key, subject in (
        ("registryentry", entry.pk, str(entry)),
        ("user", alice.pk, alice.email),
        ("membership", alice.memberships.get().pk, alice.email),
        ("organization", acme.pk, acme.name),
    ):
        page = see(at(f"{name}_history", key))
        assert "Nothing of it was changed in this admin." in page.text
        address = page.links["All that happened to it, in the audit log"]
        assert address.endswith(f"?subject={quote(subject)}")
    listed = see(at("auditevent_changelist") + f"?subject={quote(str(entry))}")
    assert "Entry added" in listed.text


def test_what_goes_with_one_of_each(see, alice) -> None:
    assert "1 membership, and their API tokens" in see(at("user_delete", alice.pk)).text


def test_an_empty_field_says_so_and_what_to_do(see, stella) -> None:
    page = Page(stella.post(at("membership_add"), {}))
    assert "User is empty. Enter it." in page.text and "is required" not in page.text

"""Organizations, members, projects and environments: written by services, and told."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse
from django.utils import timezone

from orgs.models import (
    AuditEvent,
    Environment,
    Membership,
    Organization,
    Project,
    RegistryEntry,
    User,
    WorkerToken,
)
from orgs.services.tenancy import organizations
from tests.conftest import HOST

from .conftest import at


def told(action: str) -> AuditEvent:
    """The only event of a kind, done by staff."""
    event = AuditEvent.objects.get(action=action)
    assert event.staff and event.actor == "staff@example.com"
    return event


# --- organizations ----------------------------------------------------------------


def test_add_with_a_new_admin_gives_a_link_once(stella, see, send) -> None:
    data = {"name": "Globex", "slug": "", "admin": "Hank@Example.com"}
    page = send(at("organization_add"), data)
    globex = Organization.objects.get(slug="globex")
    hank = globex.memberships.get(role="admin").user
    assert hank.email == "hank@example.com" and not hank.has_usable_password()
    link = re.search(r"http://127.0.0.1:8000(/accounts/password/\S+)", page.text)
    assert link is not None
    assert told("organization.created").organization == "Globex"
    assert told("user.link_issued").subject == "hank@example.com"
    token = link[1].split("/")[4]
    assert token not in str(list(AuditEvent.objects.values())) + str(dict(stella.session))
    assert token not in see(at("organization_change", globex.pk)).html
    stella.logout()
    assert "Set your password" in stella.get(link[1], follow=True).content.decode()


def test_add_with_someone_known(send, bob) -> None:
    page = send(at("organization_add"), {"name": "Globex", "slug": "glob", "admin": bob.email})
    assert "/accounts/password/" not in page.html
    assert Membership.objects.get(organization__slug="glob").user == bob


@pytest.mark.parametrize(
    ("data", "field", "sentence"),
    [
        ({"slug": "acme"}, "slug", "“acme” is, or was, another organization's."),
        ({"slug": "Ac_me"}, "slug", "lower-case letters, digits and dashes"),
        ({"name": "Acme", "slug": ""}, "slug", "“acme” is, or was, another organization's."),
        ({"name": "§§", "slug": ""}, "slug", "There is no letter to make one from."),
        ({"admin": "nobody"}, "admin", "valid email"),
        ({"name": ""}, "name", "is empty. Enter it"),
    ],
)
def test_add_refuses(data, field, sentence, send, acme) -> None:
    given = {"name": "Globex", "slug": "globex", "admin": "hank@example.com"}
    page = send(at("organization_add"), {**given, **data})
    assert sentence in page.error(field) and page.title.startswith("Error: ")
    assert Organization.objects.count() == 1 and not User.objects.filter(name="Hank").exists()


def test_adding_people_along_needs_permission(client, some_staff) -> None:
    helga = some_staff("add_organization", "view_organization", "change_organization")
    client.force_login(helga)
    data = {"name": "Globex", "slug": "globex", "admin": "hank@example.com"}
    response = client.post(at("organization_add"), data, follow=True)
    assert "you may not add people" in response.content.decode()
    assert not Organization.objects.exists() and not User.objects.filter(name="Hank").exists()


def test_rename(send, acme) -> None:
    send(at("organization_change", acme.pk), {"name": "Acme Corp", "slug": "acme"})
    changes = told("organization.updated").properties["changes"]
    assert changes == {"name": ["Acme", "Acme Corp"]}
    send(at("organization_change", acme.pk), {"name": "Acme Corp", "slug": "acme"})
    assert AuditEvent.objects.count() == 1


def test_its_page_leads_to_the_flow(see, acme, alice, make_entry) -> None:
    page = see(at("organization_change", acme.pk))
    assert "No registries yet." in page.text
    for n in range(22):
        make_entry(f"{HOST}/app-{n}/*")
    RegistryEntry.objects.filter(patterns__text=f"{HOST}/app-0/*").update(
        status="failing", status_detail="AWS doesn't know the key."
    )
    page = see(at("organization_change", acme.pk))
    shown = [text for text in page.texts["th"] if HOST in text]
    assert len(shown) == 20 and shown[0] == f"{HOST}/app-0/*"
    assert f"{HOST}/app-1/*" not in shown and f"{HOST}/app-21/*" in shown
    assert "AWS doesn't know the key." in page.text
    entries = at("registryentry_changelist", organization=acme.pk)
    assert page.links["Registries"] == page.links["All 22"] == entries
    assert page.links["Add a new entry"] == at("registryentry_add", organization=acme.pk)
    assert page.links["Add a member"] == at("membership_add", organization=acme.pk)
    assert page.links["Audit log"] == reverse("audit", args=["acme"])
    assert page.links["Check an image"] == reverse("check", args=["acme"])
    assert "alice@example.com" in page.links
    # Nothing of an entry can be changed on this page.
    assert set(page.fields) == {"csrfmiddlewaretoken", "name", "slug", "_save"}


def test_delete_counts_what_goes_along(see, send, acme, alice, project, gpu, make_entry) -> None:
    make_entry(environments=[gpu])
    text = see(at("organization_delete", acme.pk)).text
    for sentence in (
        "1 registry entry with their secrets.",
        "1 project; their next private pull will fail.",
        "1 membership.",
        "1 environment.",
    ):
        assert sentence in text
    assert "worker token" not in text
    send(at("organization_delete", acme.pk), {"post": "yes"})
    assert not Organization.objects.exists() and not RegistryEntry.objects.exists()
    assert told("organization.deleted").properties["before"] == {"name": "Acme", "slug": "acme"}


# --- members ----------------------------------------------------------------------


def test_add_a_member(see, send, acme, charlie) -> None:
    address = at("membership_add", organization=acme.pk)
    page = see(address)
    assert f'<option value="{acme.pk}" selected>' in page.html
    send(address, {"organization": acme.pk, "user": charlie.pk, "role": "member"})
    assert acme.memberships.get().user == charlie
    event = told("member.added")
    assert (event.organization, event.subject) == ("Acme", charlie.email)
    assert event.properties.pop("request") and event.properties == {"role": "member"}
    again = send(address, {"organization": acme.pk, "user": charlie.pk, "role": "admin"})
    assert "already exists" in again.text and acme.memberships.count() == 1


def test_nonsense_in_the_address(see, send) -> None:
    for nonsense in ("x", "9" * 40, "0"):
        assert see(at("membership_add", organization=nonsense)).status == 200
        data = {"organization": nonsense, "user": nonsense, "role": "member"}
        assert send(at("membership_add"), data).status == 200
    assert not Membership.objects.exists()


def test_change_a_role_only(see, send, acme, alice, bob, umbrella) -> None:
    bobs = bob.memberships.get()
    page = see(at("membership_change", bobs.pk))
    assert {"organization", "user"}.isdisjoint(page.fields)
    data = {"role": "admin", "organization": umbrella.pk, "user": alice.pk}
    send(at("membership_change", bobs.pk), data)
    bobs.refresh_from_db()
    assert (bobs.organization, bobs.user, bobs.role) == (acme, bob, "admin")
    assert told("member.role_changed").properties["changes"] == {"role": ["member", "admin"]}


def test_remove_a_member(see, send, acme, alice, bob) -> None:
    address = at("membership_delete", bob.memberships.get().pk)
    assert "no longer sees Acme" in see(address).text
    send(address, {"post": "yes"})
    assert [m.user for m in acme.memberships.all()] == [alice]
    assert told("member.removed").subject == bob.email


def test_the_last_admin_stays(send, acme, alice, bob) -> None:
    membership = alice.memberships.get()
    page = send(at("membership_delete", membership.pk), {"post": "yes"})
    assert "alice@example.com is the only org admin of Acme." in page.text
    page = send(at("membership_change", membership.pk), {"role": "member"})
    assert "Make someone else one first." in page.text
    page = send(at("user_delete", alice.pk), {"post": "yes"})
    assert "only org admin of Acme" in page.text
    membership.refresh_from_db()
    assert membership.role == "admin" and not AuditEvent.objects.exists()


def test_autocomplete_tells_names_only(stella, alice, staff) -> None:
    query = {"app_label": "orgs", "model_name": "membership", "field_name": "user", "term": "ali"}
    found = stella.get("/admin/autocomplete/", query).json()["results"]
    assert found == [{"id": str(alice.pk), "text": "alice@example.com"}]


# --- projects and environments ----------------------------------------------------


def test_projects(send, acme, umbrella, bob) -> None:
    send(at("project_add"), {"name": "one", "organization": acme.pk, "user": ""})
    project = Project.objects.get()
    assert told("project.created").project == "one"
    address = at("project_change", project.pk)
    send(address, {"name": "two", "organization": umbrella.pk, "user": ""})
    events = AuditEvent.objects.filter(action="project.updated").order_by("pk")
    assert [event.organization for event in events] == ["Acme", "Umbrella"]
    changes = {"name": ["one", "two"], "owner": ["Acme (acme)", "Umbrella (umbrella)"]}
    assert all(event.properties["changes"] == changes and event.staff for event in events)
    send(address, {"name": "two", "organization": "", "user": bob.pk})
    project.refresh_from_db()
    assert project.organization is None and project.user == bob
    page = send(at("project_delete", project.pk), {"post": "yes"})
    assert "deleted" in page.text and told("project.deleted").subject == "two"


@pytest.mark.parametrize("both", [True, False])
def test_a_project_has_one_owner(both, send, acme, bob) -> None:
    owners = {"organization": acme.pk, "user": bob.pk} if both else {}
    page = send(at("project_add"), {"name": "one", **owners})
    assert "A project belongs to an organization or to a person. Choose one of them." in page.text
    assert not Project.objects.exists()


def test_environments(see, send, acme, make_entry) -> None:
    data = {"organization": acme.pk, "name": "GPU", "slug": "gpu"}
    send(at("environment_add"), data)
    gpu = Environment.objects.get()
    assert told("environment.created").subject == "GPU"
    assert "already exists" in send(at("environment_add"), data).text
    send(at("environment_change", gpu.pk), {"name": "GPUs", "slug": "gpus"})
    changes = {"name": ["GPU", "GPUs"], "slug": ["gpu", "gpus"]}
    assert told("environment.updated").properties["changes"] == changes
    entry = make_entry(environments=[gpu])
    token = WorkerToken.objects.create(
        organization=acme, environment=gpu, name="w", key_id="k", digest="d"
    )
    gone = {"name": "old", "key_id": "o", "digest": "d", "revoked_at": timezone.now()}
    WorkerToken.objects.create(organization=acme, environment=gpu, **gone)
    page = see(at("environment_delete", gpu.pk))
    assert "1 registry entry is limited to it" in page.text
    assert "1 worker token is bound to it" in page.text and "post" not in page.fields
    send(at("environment_delete", gpu.pk), {"post": "yes"})
    assert Environment.objects.exists()
    with pytest.raises(organizations.Refused):
        organizations.environment_delete(environment=gpu, actor=organizations.Actor("tests"))
    entry.delete()
    WorkerToken.objects.filter(pk=token.pk).update(revoked_at=timezone.now())
    send(at("environment_delete", gpu.pk), {"post": "yes"})
    assert not Environment.objects.exists() and told("environment.deleted").subject == "GPUs"

"""Who may do what here: staff, by permission; one sign-in for the whole product.

`tests/test_access.py` walks every address for those who aren't staff.
"""

from __future__ import annotations

from django.contrib.auth.models import Group, Permission
from django.urls import reverse

from orgs.models import AuditEvent, RegistryEntry

from .conftest import TYPED, Page, at

LIST = at("registryentry_changelist")


def test_the_products_own_sign_in(client, staff, alice) -> None:
    wanted = at("organization_changelist")
    response = client.get(wanted, follow=True)
    assert response.redirect_chain[-1][0] == f"{reverse('account_login')}?next={wanted}"
    data = {"username": staff.email, "password": "correct horse battery", "next": wanted}
    assert client.post(reverse("account_login"), data).url == wanted
    assert client.get(reverse("admin:login")).url == reverse("admin:index")
    client.force_login(alice)
    response = client.get(wanted, follow=True)
    assert response.status_code == 403  # not a circle of redirects
    assert "You may not do this." in response.content.decode()


def test_sign_in_leads_nowhere_else(client, staff) -> None:
    response = client.get(reverse("admin:login"), {"next": "https://evil.example/"})
    data = {"username": staff.email, "password": "correct horse battery"}
    sign_in = response.url
    response = client.post(sign_in, {**data, "next": "https://evil.example/"})
    assert response.url == reverse("home")


def test_staff_without_permission_get_403(client, some_staff, acme, alice, make_entry) -> None:
    client.force_login(some_staff())
    entry, membership = make_entry(), alice.memberships.get()
    for address in (
        LIST,
        at("registryentry_add"),
        at("registryentry_change", entry.pk),
        at("registryentry_delete", entry.pk),
        at("registryentry_history", entry.pk),
        at("organization_change", acme.pk),
        at("organization_add"),
        at("membership_change", membership.pk),
        at("user_change", alice.pk),
        at("user_add"),
        at("user_password_link", alice.pk),
        at("auditevent_changelist"),
    ):
        assert client.get(address).status_code == 403, address
        assert client.post(address, TYPED).status_code == 403, address
    assert client.get(reverse("admin:index")).status_code == 200
    assert RegistryEntry.objects.count() == 1


def test_who_may_look_may_only_look(client, some_staff, make_entry, acme) -> None:
    client.force_login(some_staff("view_registryentry", "view_organization"))
    entry = make_entry(note="for vision")
    address = at("registryentry_change", entry.pk)
    page = Page(client.get(address))
    assert "AKIAIOSFODNN7EXAMPLE" in page.text and "for vision" in page.text
    assert "entry-form" not in page.attributes and "You act as staff" not in page.text
    assert client.post(address, TYPED).status_code == 403
    assert client.post(at("registryentry_delete", entry.pk), {"post": "yes"}).status_code == 403
    assert client.get(at("registryentry_add", organization=acme.pk)).status_code == 403
    for action in ("enable", "disable", "delete_with_secrets"):
        data = {"action": action, "_selected_action": str(entry.pk), "confirmed": "yes"}
        client.post(LIST, data)
    entry.refresh_from_db()
    assert entry.enabled and AuditEvent.objects.count() == 1
    page = Page(client.get(at("organization_change", acme.pk)))
    assert "Registries" in page.links and "Add a new entry" not in page.links
    assert "Members" not in page.texts["h2"]
    assert client.post(at("organization_change", acme.pk), {"name": "x"}).status_code == 403


def test_who_may_change_may_not_delete(client, some_staff, make_entry) -> None:
    client.force_login(some_staff("view_registryentry", "change_registryentry"))
    entry = make_entry()
    page = Page(client.get(at("registryentry_change", entry.pk)))
    assert "entry-form" in page.attributes and "Delete" not in page.links
    assert client.get(at("registryentry_delete", entry.pk)).status_code == 403
    data = {"action": "disable", "_selected_action": str(entry.pk), "confirmed": "yes"}
    client.post(LIST, data)
    entry.refresh_from_db()
    assert not entry.enabled


def test_deleting_an_organization_needs_what_goes_along(client, some_staff, acme) -> None:
    client.force_login(some_staff("view_organization", "delete_organization"))
    address = at("organization_delete", acme.pk)
    assert "registry entries" in Page(client.get(address)).text
    assert client.post(address, {"post": "yes"}).status_code == 403
    acme.refresh_from_db()


def test_audit_events_are_read_only(see, stella, make_entry, staff) -> None:
    make_entry()
    event = AuditEvent.objects.get()
    page = see(at("auditevent_changelist", q="entry.created acme"))
    assert page.heading == "Audit log" and "Entry added" in page.text
    assert "0 audit events" in see(at("auditevent_changelist", q="entry.created umbrella")).text
    page = see(at("auditevent_change", event.pk))
    assert "AKIAIOSFODNN7EXAMPLE" in page.text
    assert set(page.fields) <= {"csrfmiddlewaretoken"}
    assert stella.get(at("auditevent_add")).status_code == 403
    for address in (at("auditevent_change", event.pk), at("auditevent_delete", event.pk)):
        assert stella.post(address, {"post": "yes", "actor": "x"}).status_code == 403
    assert AuditEvent.objects.get().actor == "tests"
    assert see(at("auditevent_changelist", organization_id=event.organization_id)).status == 200


def test_pages_of_the_admin_are_as_strict_as_all(stella, make_entry, acme) -> None:
    """Django's own admin works under the product's policy: none of its pages needs more."""
    for address in (LIST, at("registryentry_add", organization=acme.pk), at("user_add")):
        response = stella.get(address)
        policy = response["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert "no-store" in response["Cache-Control"]


def test_groups_are_for_superusers_to_read(see, stella, client, some_staff) -> None:
    group = Group.objects.get(name="Support")
    page = see("/admin/auth/group/")
    assert "Support" in page.links
    address = f"/admin/auth/group/{group.pk}/change/"
    assert "Can change registry entry" in see(address).text
    assert stella.post(address, {"name": "x"}).status_code == 403
    for closed in ("/admin/auth/group/add/", f"/admin/auth/group/{group.pk}/delete/"):
        assert stella.get(closed).status_code == 403
    helga = some_staff()
    helga.user_permissions.set(Permission.objects.all())
    client.force_login(helga)
    for closed in ("/admin/auth/group/", address):
        assert client.get(closed).status_code == 403
    assert "Groups" not in client.get("/admin/").content.decode()

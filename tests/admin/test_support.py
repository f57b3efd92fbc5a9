"""The group *Support*: what its people may do, and every way up that they, or plain staff,
might try."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, Permission
from django.core import mail
from django.test import Client
from django.urls import reverse

from orgs.models import AuditEvent, Membership, RegistryEntry, User
from orgs.registries.problems import Refused
from orgs.services.audit.events import Actor
from orgs.services.tenancy import mails, organizations, people
from orgs.services.tenancy.powers import SUPPORT, SUPPORT_MAY, support_make
from tests.conftest import PASSWORD, make_user

from .conftest import TYPED, Page, at

ALL = "every permission there is"


@pytest.fixture
def sam(client: Client) -> User:
    """Of Support, signed in."""
    user = make_user("sam@example.com", "Sam", is_staff=True)
    user.groups.add(Group.objects.get(name=SUPPORT))
    client.force_login(user)
    return user


@pytest.fixture
def plain(client: Client) -> Callable[..., User]:
    """Staff with these permissions, or with every one, signed in."""

    def make(*codenames: str) -> User:
        user = make_user("helga@example.com", "Helga", is_staff=True)
        allowed = Permission.objects.all()
        if ALL not in codenames:
            allowed = allowed.filter(codename__in=codenames)
        user.user_permissions.set(allowed)
        client.force_login(user)
        return User.objects.get(pk=user.pk)

    return make


@pytest.fixture
def goes_out(settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


def powers(user: User) -> tuple[object, ...]:
    user = User.objects.get(pk=user.pk)
    held = sorted(user.get_all_permissions())
    member_of = sorted(user.memberships.values_list("organization__slug", "role"))
    return user.is_staff, user.is_superuser, held, member_of, user.email


# --- the group ------------------------------------------------------------------


def test_it_is_there_after_migrating_and_stays_as_it_is() -> None:
    group = Group.objects.get(name=SUPPORT)
    group.permissions.set(Permission.objects.all())
    from django.apps import apps

    support_make(apps=apps)
    held = set(group.permissions.values_list("codename", flat=True))
    assert held == set(SUPPORT_MAY)
    assert not [name for name in held if name.startswith(("add_", "delete_"))]
    assert [name for name in held if name.startswith("change_")] == ["change_registryentry"]


def test_superusers_put_people_in(see, send, alice) -> None:
    group = Group.objects.get(name=SUPPORT)
    assert "Support" in see(at("user_change", alice.pk)).text
    data = {"email": alice.email, "name": "Alice", "is_active": "on", "is_staff": "on"}
    send(at("user_change", alice.pk), {**data, "groups": group.pk})
    assert User.objects.get(pk=alice.pk).has_perm("orgs.change_registryentry")
    changes = AuditEvent.objects.get(action="user.updated").properties["changes"]
    assert changes["groups"] == [[], ["Support"]] and changes["is_staff"] == [False, True]
    page = see(reverse("admin:auth_group_change", args=[group.pk]))
    assert page.links[alice.email] == at("user_change", alice.pk)
    send(at("user_change", alice.pk), data)
    assert not User.objects.get(pk=alice.pk).groups.exists()


# --- what they may --------------------------------------------------------------


def test_they_look_at_everything(client, sam, acme, alice, project, gpu, make_entry) -> None:
    entry = make_entry()
    for address in (
        reverse("staff"),
        reverse("admin:index"),
        at("registryentry_changelist"),
        at("registryentry_change", entry.pk),
        at("organization_change", acme.pk),
        at("membership_changelist"),
        at("user_change", alice.pk),
        at("project_change", project.pk),
        at("environment_change", gpu.pk),
        at("auditevent_changelist"),
        reverse("audit", args=["acme"]),
    ):
        assert client.get(address).status_code == 200, address


def test_they_switch_and_mend_entries(client, sam, make_entry, new_keys_work) -> None:
    entry = make_entry()
    data = {"action": "disable", "_selected_action": str(entry.pk), "confirmed": "yes"}
    client.post(at("registryentry_changelist"), data)
    entry.refresh_from_db()
    assert not entry.enabled
    told = AuditEvent.objects.get(action="entry.disabled")
    assert told.staff and told.actor == sam.email
    page = Page(client.get(at("registryentry_change", entry.pk)))
    assert "entry-form" in page.attributes


def test_they_have_a_link_sent_and_never_see_it(client, sam, alice, goes_out) -> None:
    page = Page(client.get(at("user_change", alice.pk)))
    assert "Send a password link" in page.text and "Make a password link" not in page.text
    page = Page(client.post(at("user_password_link", alice.pk), follow=True))
    assert f"A link is on its way to {alice.email}." in page.text
    assert "/accounts/password/" not in page.html
    mails.drain()
    (sent,) = mail.outbox
    assert sent.to == [alice.email] and "/accounts/password/" in sent.body
    told = AuditEvent.objects.get(action="user.link_issued")
    assert told.staff and told.actor == sam.email
    link = sent.body.split()[-1].removeprefix("http://127.0.0.1:8000")
    client.logout()
    form = client.get(link, follow=True).redirect_chain[-1][0]
    client.post(form, {"new_password1": "another horse 9", "new_password2": "another horse 9"})
    assert client.login(username=alice.email, password="another horse 9")


def test_where_no_mail_goes_out_there_is_no_link(client, sam, alice, settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    page = Page(client.get(at("user_change", alice.pk)))
    assert "No mail goes out from this server" in page.text
    assert client.post(at("user_password_link", alice.pk)).status_code == 403
    assert not AuditEvent.objects.filter(action="user.link_issued").exists()


# --- every way up ---------------------------------------------------------------


def test_no_page_makes_support_more(client, sam, acme, alice, staff, make_entry, goes_out) -> None:
    """Every address of the admin that writes, with all that would raise them."""
    entry, group = make_entry(), Group.objects.get(name=SUPPORT)
    everything = {
        **TYPED,
        **{"email": sam.email, "name": "Sam", "is_active": "on", "is_staff": "on"},
        **{"is_superuser": "on", "groups": group.pk, "role": "admin", "user": sam.pk},
        "user_permissions": list(Permission.objects.values_list("pk", flat=True)[:9]),
        "permissions": list(Permission.objects.values_list("pk", flat=True)[:9]),
        **{"organization": acme.pk, "slug": "x", "admin": sam.email, "post": "yes"},
    }
    before = powers(sam)
    for address in (
        at("user_change", sam.pk),
        at("user_change", alice.pk),
        at("user_change", staff.pk),
        at("user_add"),
        at("user_delete", alice.pk),
        at("user_password_link", staff.pk),
        at("user_password_link", sam.pk),
        at("membership_add"),
        at("membership_change", alice.memberships.get().pk),
        at("membership_delete", alice.memberships.get().pk),
        at("organization_add"),
        at("organization_change", acme.pk),
        at("organization_delete", acme.pk),
        at("organization_import", acme.pk),
        at("project_add"),
        at("environment_add"),
        at("registryentry_add"),
        at("registryentry_delete", entry.pk),
        reverse("admin:auth_group_add"),
        reverse("admin:auth_group_change", args=[group.pk]),
        reverse("admin:auth_group_delete", args=[group.pk]),
    ):
        assert client.post(address, everything).status_code in {403, 404}, address
    for name in ("invite", "worker_token_issue", "entry_new", "organization_rename"):
        assert client.post(reverse(name, args=["acme"]), everything).status_code == 403, name
    assert powers(sam) == before and not mail.outbox
    assert set(group.permissions.values_list("codename", flat=True)) == set(SUPPORT_MAY)
    assert RegistryEntry.objects.filter(pk=entry.pk).exists()
    assert User.objects.get(pk=alice.pk).memberships.get().role == "admin"


@pytest.mark.parametrize("superuser_alone", [False, True])
def test_nobodys_address_or_password_who_has_more(
    client, plain, staff, alice, goes_out, superuser_alone
) -> None:
    """By e-mail and then a reset, or by a link: not of staff, nor of a superuser who isn't."""
    helga = plain(ALL)
    if superuser_alone:
        User.objects.filter(pk=staff.pk).update(is_staff=False)
    before = powers(staff)
    data = {"email": "helga+@example.com", "name": "S", "is_active": "on"}
    assert client.post(at("user_change", staff.pk), data).status_code == 403
    assert client.post(at("user_password_link", staff.pk)).status_code == 403
    assert client.post(at("user_delete", staff.pk), {"post": "yes"}).status_code == 403
    assert powers(staff) == before and not mail.outbox
    # Ordinary people they do look after.
    assert client.post(at("user_change", alice.pk), data).status_code == 302
    assert powers(helga)[:2] == (True, False)


def test_plain_staff_raise_nobody(client, plain, alice) -> None:
    """Not with every permission: neither themselves nor an account of their own making."""
    helga = plain(ALL)
    group = Group.objects.get(name=SUPPORT)
    data = {"email": "puppet@example.com", "name": "P", "password": PASSWORD}
    raised = {"is_active": "on", "is_staff": "on", "is_superuser": "on", "groups": group.pk}
    raised["user_permissions"] = list(Permission.objects.values_list("pk", flat=True)[:9])
    client.post(at("user_add"), data | raised)
    puppet = User.objects.get(email="puppet@example.com")
    page = Page(client.get(at("user_change", puppet.pk)))
    assert {"is_staff", "is_superuser", "groups", "user_permissions"}.isdisjoint(page.fields)
    client.post(at("user_change", puppet.pk), data | raised)
    assert powers(puppet)[:4] == (False, False, [], [])
    assert client.post(at("user_change", helga.pk), data | raised).status_code == 403
    assert client.post(reverse("admin:auth_group_add"), {"name": "Mine"}).status_code == 403


def test_staff_do_not_make_themselves_members(client, plain, acme, alice) -> None:
    helga = plain("view_membership", "add_membership", "change_membership", "view_user",
                  "view_organization")  # fmt: skip
    data = {"organization": acme.pk, "user": helga.pk, "role": "admin"}
    page = Page(client.post(at("membership_add"), data, follow=True))
    assert "Staff don't make themselves members." in page.text and powers(helga)[3] == []
    own = Membership.objects.create(organization=acme, user=helga, role="member")
    page = Page(client.post(at("membership_change", own.pk), {"role": "admin"}, follow=True))
    assert "Staff don't make themselves members." in page.text
    assert powers(helga)[3] == [("acme", "member")]


def test_superusers_may(send, staff, acme) -> None:
    send(at("membership_add"), {"organization": acme.pk, "user": staff.pk, "role": "admin"})
    assert powers(staff)[3] == [("acme", "admin")]


def test_who_got_powers_a_moment_ago_is_out_of_reach(plain, alice, goes_out) -> None:
    """The gate was passed before: it is asked again behind the person's lock."""
    helga = plain(ALL)
    actor = Actor(helga.email, helga, staff=True)
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    for act in (
        lambda: people.person_update(person=alice, actor=actor, email="helga+@example.com"),
        lambda: people.person_link(person=alice, actor=actor),
        lambda: people.person_link_send(person=alice, actor=actor),
        lambda: people.person_delete(person=alice, actor=actor),
    ):
        with pytest.raises(Refused, match="powers of their own"):
            act()
    assert User.objects.get(pk=alice.pk).email == "alice@example.com" and not mail.outbox


def test_what_commands_and_people_themselves_do_goes_on(alice, staff, acme) -> None:
    assert people.person_link(person=staff, actor=Actor("command line", staff=True))
    own = Actor.person(alice, acme)
    organizations.member_set_role(membership=_second(acme), role="admin", actor=own)
    organizations.member_set_role(membership=alice.memberships.get(), role="member", actor=own)


def _second(acme) -> Membership:
    other = make_user("erin@example.com", "Erin")
    return Membership.objects.create(organization=acme, user=other, role="member")

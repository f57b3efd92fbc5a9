"""Members: invited, given another role, removed, leaving; and what ends with it."""

from __future__ import annotations

import pytest
from django.core import mail
from django.utils import timezone

from orgs.models import ApiToken, AuditEvent, Invitation, Membership
from orgs.services.audit.events import Actor
from orgs.services.tenancy import invitations, mails, tokens
from tests.conftest import make_user
from tests.web.conftest import Page

LIST = "/organizations/acme/members/"
INVITE = f"{LIST}invite/"


def invited(acme, by, email="new@example.com", role="member") -> Invitation:
    actor = Actor(by.email, by)
    return invitations.invite(organization=acme, emails=[email], role=role, actor=actor)[0]


def of(user, acme) -> Membership:
    return Membership.objects.get(user=user, organization=acme)


def events(action: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action=action).order_by("pk"))


# --- the list -----------------------------------------------------------------


def test_list(look, acme, alice, bob) -> None:
    of(bob, acme).delete()
    Membership.objects.create(organization=acme, user=bob, role="member", invited_by=alice)
    invited(acme, alice)
    page = look(alice, LIST)
    rows = page.texts["tr"][1:]
    assert rows[0].startswith("Alice (you) alice@example.com Org admin – just now – Change role")
    assert rows[1] == "Bob bob@example.com Member – Never Alice Change role of Bob Remove Bob"
    assert "new@example.com Member, invited just now by Alice; the link lives until" in page.text
    page = look(bob, LIST)
    assert page.texts["tr"][1:] == [
        "Alice alice@example.com Org admin",
        "Bob (you) bob@example.com Member",
    ]
    assert "new@example.com" not in page.html and "/invitations/" not in page.html
    assert "Leave Acme" in page.links and "Invite people" not in page.links


def test_staff_only_read(look, acme, staff, alice) -> None:
    invited(acme, alice)
    page = look(staff, LIST)
    assert page.texts["tr"][1:] == ["Alice alice@example.com Org admin"]
    assert "Leave Acme" not in page.links and "/invitations/" not in page.html


# --- inviting -----------------------------------------------------------------


@pytest.mark.parametrize("separator", ["\n", ", ", " ; ", "\r\n\r\n"])
def test_several_at_once(separator, client, acme, alice) -> None:
    client.force_login(alice)
    typed = {"emails": separator.join(["a@example.com", "B@Example.com", "a@example.com"])}
    page = Page(client.post(INVITE, typed | {"role": "admin"}, follow=True))
    assert "2 people invited. The link is on its way by mail, and lives 7 days." in page.text
    mails.drain()
    assert sorted(m.to[0] for m in mail.outbox) == ["a@example.com", "b@example.com"]
    (one,) = [m for m in mail.outbox if m.to == ["a@example.com"]]
    assert one.subject == "Alice invites you to Acme"
    assert invitations.link(Invitation.objects.get(email="a@example.com")) in one.body
    assert [e.subject for e in events("invitation.created")] == ["a@example.com", "b@example.com"]
    assert events("invitation.created")[0].properties["role"] == "admin"
    assert "/invitations/" not in str([e.properties for e in AuditEvent.objects.all()])


def test_without_a_mail_server_the_link_is_there_to_copy(client, acme, alice, settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    client.force_login(alice)
    assert "This server sends no mails" in Page(client.get(INVITE)).text
    page = Page(client.post(INVITE, {"emails": "a@example.com", "role": "member"}, follow=True))
    assert "a@example.com invited. Copy the link below and send it to them" in page.text
    assert invitations.link(Invitation.objects.get()) in page.texts["code"]
    assert not mail.outbox


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("", "E-mails is empty."),
        (" \n , ;", "E-mails is empty."),
        ("nobody", "“nobody” isn't an e-mail address. Write it like ada@example.com."),
        ("a@example.com bob@example.com", "bob@example.com is a member of Acme already."),
        ("waiting@example.com", "waiting@example.com is invited already."),
        ("WAITING@example.com", "waiting@example.com is invited already."),
        (" ".join(f"p{n}@example.com" for n in range(51)), "51 addresses, and 50 are invited"),
        ("x" * 20_001, "20000 characters"),
        ("x" * 300 + "@example.com", "isn't an e-mail address"),
        ('"a\rb"@example.com', "“\"a” isn't"),
        ("\x00@example.com", "Null characters"),
    ],
)
def test_what_is_wrong_is_told_and_nobody_invited(typed, says, send, acme, alice, bob) -> None:
    invited(acme, alice, "waiting@example.com")
    mails.drain()
    mail.outbox.clear()
    page = send(alice, INVITE, {"emails": typed, "role": "member"})
    assert page.title.startswith("Error: ") and says in page.error("emails")
    mails.drain()
    assert Invitation.objects.count() == 1 and not mail.outbox


def test_a_role_that_there_isnt(send, acme, alice) -> None:
    page = send(alice, INVITE, {"emails": "a@example.com", "role": "owner"})
    assert page.wrong == {"role"} and not Invitation.objects.exists()


def test_limits(send, acme, alice, monkeypatch) -> None:
    monkeypatch.setattr(invitations, "MAILS", 3)
    assert send(alice, INVITE, {"emails": "a@b.co b@b.co c@b.co", "role": "member"}).status == 302
    page = send(alice, INVITE, {"emails": "d@b.co", "role": "member"})
    assert "Acme may send 3 invitations a day. Go on tomorrow." in page.error("emails")
    again = f"{LIST}invitations/{Invitation.objects.first().pk}/again/"
    assert send(alice, again, {}).status == 302
    assert Invitation.objects.filter(generation=0).count() == 3
    monkeypatch.setattr(invitations, "MAILS", 100)
    monkeypatch.setattr(invitations, "WAITING", 3)
    page = send(alice, INVITE, {"emails": "d@b.co", "role": "member"})
    assert "more than 3 invitations waiting" in page.error("emails")


def test_send_again_ends_the_link_before(client, acme, alice) -> None:
    before = invited(acme, alice)
    old = invitations.token(before)
    Invitation.objects.update(expires_at=timezone.now())
    assert invitations.invitation_by_token(old) is None
    client.force_login(alice)
    page = Page(client.post(f"{LIST}invitations/{before.pk}/again/", follow=True))
    assert "A new link for new@example.com is sent." in page.text
    new = invitations.token(Invitation.objects.get())
    assert (
        invitations.invitation_by_token(new) == before
        and invitations.invitation_by_token(old) is None
    )
    assert [e.subject for e in events("invitation.resent")] == ["new@example.com"]


def test_withdraw(client, acme, alice) -> None:
    invitation = invited(acme, alice)
    link = invitations.token(invitation)
    client.force_login(alice)
    at = f"{LIST}invitations/{invitation.pk}/withdraw/"
    assert "new@example.com is withdrawn" in Page(client.post(at, follow=True)).text
    assert invitations.invitation_by_token(link) is None
    assert client.post(at).status_code == 404
    assert len(events("invitation.withdrawn")) == 1


def test_another_organizations_are_not_there(client, acme, alice, charlie, umbrella) -> None:
    theirs = invited(umbrella, charlie)
    client.force_login(alice)
    for what in ("again", "withdraw"):
        at = f"{LIST}invitations/{theirs.pk}/{what}/"
        assert client.post(at).status_code == 404
    assert client.post(f"{LIST}{of(charlie, umbrella).pk}/remove/").status_code == 404
    assert client.post(f"{LIST}{of(charlie, umbrella).pk}/", {"role": "member"}).status_code == 404
    assert Invitation.objects.get().generation == 0


# --- roles, removing, leaving ---------------------------------------------------


def test_role(client, acme, alice, bob) -> None:
    client.force_login(alice)
    at = f"{LIST}{of(bob, acme).pk}/"
    page = Page(client.post(at, {"role": "admin"}, follow=True))
    assert "Bob: Org admin." in page.text and of(bob, acme).role == "admin"
    Page(client.post(at, {"role": "member"}, follow=True))
    assert of(bob, acme).role == "member"
    assert [e.properties["changes"] for e in events("member.role_changed")] == [
        {"role": ["member", "admin"]},
        {"role": ["admin", "member"]},
    ]


def test_the_last_admin_stays_one(send, acme, alice, bob) -> None:
    own = f"{LIST}{of(alice, acme).pk}/"
    page = send(alice, own, {"role": "member"})
    assert "alice@example.com is the only org admin of Acme." in page.error("role")
    for at in (f"{own}remove/", f"{LIST}leave/"):
        page = send(alice, at, {})
        assert "alice@example.com is the only org admin of Acme." in page.text
    assert of(alice, acme).role == "admin"


def test_remove_says_what_ends_and_ends_it(look, client, acme, alice, bob) -> None:
    by = Actor("bob", bob)
    Membership.objects.filter(user=bob).update(role="admin")
    tokens.token_issue_api(user=bob, name="terraform", actor=by, organization=acme)
    tokens.token_issue_api(user=bob, name="everywhere", actor=by)
    link = invitations.token(invited(acme, bob, "friend@example.com"))
    at = f"{LIST}{of(bob, acme).pk}/remove/"
    page = look(alice, at)
    assert page.heading == "Remove Bob?"
    for told in (
        "terraform",
        "1 API token for all of their organizations reaches Acme no more",
        "is the invitation of friend@",
    ):
        assert told in page.text
    assert "Bob is removed." in Page(client.post(at, follow=True)).text
    assert [t.name for t in ApiToken.objects.all()] == ["everywhere"]
    assert invitations.invitation_by_token(link) is None
    (told,) = events("member.removed")
    assert told.properties["invitations_withdrawn"] == ["friend@example.com"]
    assert look(bob, LIST).status == 404


def test_who_is_no_admin_any_more_has_nobody_waiting(client, acme, alice, bob) -> None:
    Membership.objects.filter(user=bob).update(role="admin")
    link = invitations.token(invited(acme, bob, "friend@example.com", "admin"))
    client.force_login(alice)
    client.post(f"{LIST}{of(bob, acme).pk}/", {"role": "member"})
    assert invitations.invitation_by_token(link) is None and not Invitation.objects.exists()


def test_leave(look, client, acme, bob, alice) -> None:
    page = look(bob, f"{LIST}leave/")
    assert page.heading == "Leave Acme?"
    page = Page(client.post(f"{LIST}leave/", follow=True))
    assert "You left Acme." in page.text and not bob.memberships.exists()
    assert look(bob, LIST).status == 404


def test_a_person_made_member_otherwise_needs_no_invitation(acme, alice, actor) -> None:
    from orgs.services.tenancy import organizations

    link = invitations.token(invited(acme, alice, "dora@example.com", "admin"))
    dora = make_user("dora@example.com", "Dora")
    organizations.member_add(organization=acme, user=dora, role="member", actor=actor)
    assert invitations.invitation_by_token(link) is None

"""Inviting people into an organization, by a link that is theirs alone.

The link is made anew whenever it's asked for, from the invitation's id, its generation and
SECRET_KEY; it is neither stored nor told by an event. It lets somebody in once, as the
address that was invited: who has an account signs in with it first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac

from orgs import stored
from orgs.models import Invitation, Membership, Organization, User
from orgs.registries.problems import Problem, Refused
from orgs.services.audit.clock import database_now
from orgs.services.audit.events import Actor, event, insert_all

from . import mails, organizations, people, tallies
from .mails import Mail
from .writing import tell, written

LIFE = timedelta(days=7)
AT_ONCE = 50
WAITING = 200  # at most, for an organization
MAILS = 200  # a day, for an organization
DAY = timedelta(days=1)
FIELD = "email"
_TOKEN = re.compile(r"([0-9a-f]{32})-(0|[1-9][0-9]{0,8})-([0-9a-f]{64})")


# --- inviting -----------------------------------------------------------------


def invite(
    *, organization: Organization, emails: Sequence[str], role: str, actor: Actor
) -> list[Invitation]:
    """Invite each of the addresses, and have the links sent where mails go out; raises
    `Refused` with what is wrong with any of them, and invites nobody then."""
    if actor.user is None:
        raise AssertionError("People invite people.")
    addresses = list(dict.fromkeys(email.strip().lower() for email in emails))
    with written(organization) as standing:
        organizations.require_admin(standing, actor)
        if problems := _problems(standing, addresses):
            raise Refused(*problems)
        _count_mails(standing, len(addresses))
        now = database_now()
        made = [
            Invitation(
                organization=standing,
                email=email,
                role=role,
                invited_by=actor.user,
                created_at=now,
                sent_at=now,
                expires_at=now + LIFE,
            )
            for email in addresses
        ]
        Invitation.objects.bulk_create(made)
        insert_all(
            [
                event(
                    actor=actor,
                    action="invitation.created",
                    organization=standing,
                    subject_id=invitation.pk,
                    subject=invitation.email,
                    properties={"role": role},
                )
                for invitation in made
            ]
        )
    _send(made)
    return made


def _problems(organization: Organization, addresses: Sequence[str]) -> list[Problem]:
    if not addresses:
        return [Problem("required", "E-mails is empty.", "Write an address, one a line.", FIELD)]
    if len(addresses) > AT_ONCE:
        what = f"These are {len(addresses):,} addresses, and {AT_ONCE} are invited at once."
        return [Problem("too_many", what, "Invite them in several goes.", FIELD)]
    found = []
    for email in addresses:
        if wrong := next(stored.problems(User, email=email), None):
            what = f"“{_shown(email)}” isn't an e-mail address."
            found.append(Problem(wrong.code, what, "Write it like ada@example.com.", FIELD))
    members = organization.memberships.filter(user__email__in=addresses)
    for email in members.values_list("user__email", flat=True):
        what = f"{email} is a member of {organization} already."
        found.append(Problem("already_a_member", what, "Leave this address out.", FIELD))
    waiting = organization.invitations
    for email in waiting.filter(email__in=addresses).values_list("email", flat=True):
        what = f"{email} is invited already."
        fix = "Leave this address out, and send that invitation again."
        found.append(Problem("already_invited", what, fix, FIELD))
    if not found and waiting.count() + len(addresses) > WAITING:
        what = f"{organization} would have more than {WAITING} invitations waiting."
        found.append(Problem("too_many", what, "Withdraw some of those first.", FIELD))
    return found


def _shown(email: str) -> str:
    return "".join(letter for letter in email[:80] if letter.isprintable())


def invitation_send_again(*, invitation: Invitation, actor: Actor) -> Invitation:
    """Another link, the actor's from now on, in place of the one before; raises `Refused` where
    the organization sent too many, or somebody was faster."""
    if actor.user is None:
        raise AssertionError("People invite people.")
    with written(invitation.organization) as organization:
        organizations.require_admin(organization, actor)
        standing = _locked(invitation.pk)
        standing.organization, standing.invited_by = organization, actor.user
        _count_mails(organization, 1)
        standing.generation += 1
        standing.sent_at = database_now()
        standing.expires_at = standing.sent_at + LIFE
        standing.save(update_fields=["generation", "sent_at", "expires_at", "invited_by"])
        tell("invitation.resent", actor, organization, standing, {})
    _send([standing])
    return standing


def invitation_withdraw(*, invitation: Invitation, actor: Actor) -> None:
    """End it and its link; nothing where it is gone already."""
    with written(invitation.organization) as organization:
        organizations.require_admin(organization, actor)
        for standing in Invitation.objects.filter(pk=invitation.pk):
            tell("invitation.withdrawn", actor, organization, standing, {})
            standing.delete()


def _count_mails(organization: Organization, count: int) -> None:
    if tallies.count(f"invitations:{organization.pk}", DAY, count) > MAILS:
        what = f"{organization} may send {MAILS} invitations a day."
        raise Refused(Problem("too_many", what, "Go on tomorrow.", FIELD))


def _send(invitations: Sequence[Invitation]) -> None:
    if mails.go_out():
        mails.send(*map(_mail, invitations))


def _mail(invitation: Invitation) -> Mail:
    by, organization = invitation.invited_by, invitation.organization
    sentences = [
        f"{by.name} ({by.email}) invites you to {organization} on Valohai Registries, "
        f"as {invitation.get_role_display().lower()}.",
        "Open this link within 7 days. It works once; if you don't know why you got it, "
        "do nothing.",
    ]
    subject = f"{by.name} invites you to {organization}"
    about = f"invitation {invitation.pk}"
    return Mail(subject, sentences, link(invitation), [invitation.email], about)


# --- the link -----------------------------------------------------------------


def link(invitation: Invitation) -> str:
    """The address to follow; whoever has it comes in as the invited one."""
    return settings.BASE_URL + reverse("invitation", args=[token(invitation)])


def token(invitation: Invitation) -> str:
    return f"{invitation.pk.hex}-{invitation.generation}-{_signature(invitation)}"


def _signature(invitation: Invitation) -> str:
    value = f"{invitation.pk.hex}-{invitation.generation}"
    return salted_hmac("orgs.invitation", value, algorithm="sha256").hexdigest()


def invitation_by_token(token: str) -> Invitation | None:
    """The one that the link is of; None where it doesn't work, or no longer."""
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        return None
    key, generation, signature = parts.groups()
    standing = Invitation.objects.filter(
        pk=UUID(key),
        generation=int(generation),
        expires_at__gt=Now(),
        invited_by__is_active=True,
    ).select_related("organization", "invited_by")
    found = standing.first()
    if found is None or not constant_time_compare(signature, _signature(found)):
        return None
    return found


# --- coming in ----------------------------------------------------------------


def accept(*, invitation: Invitation, actor: Actor) -> Membership:
    """Make the invited person a member, who is signed in; the link works no more.

    Who became a member meanwhile keeps their role. Raises `Refused` where the invitation is
    another's, or is over.
    """
    person = actor.user
    if person is None or person.email != invitation.email:
        what = f"This invitation is for {invitation.email}."
        raise Refused(Problem("invited_another", what, "Sign in with that address."))
    with written(invitation.organization) as organization:
        standing = _locked(invitation.pk, invitation.generation)
        standing.delete()
        member = organization.memberships.filter(user=person).first()
        member = member or Membership.objects.create(
            organization=organization,
            user=person,
            role=standing.role,
            invited_by=standing.invited_by,
        )
        by = {"role": member.role, "invited_by": standing.invited_by.email}
        tell("invitation.accepted", actor, organization, person, by)
    return member


def accept_as_new(*, invitation: Invitation, name: str, password: str, address: str | None) -> User:
    """Make an account for the invited address, and a member of it; raises `Refused` where
    there is such an account, and `places.Full`. The address isn't verified by it: the link may
    have been copied."""
    email = invitation.email
    if User.objects.filter(email=email).exists():
        raise Refused(_has_account(email))
    encoded = make_password(password)  # takes long, so before the transaction
    try:
        with transaction.atomic():
            actor = Actor(email, source_address=address)
            person = people.person_create(
                email=email, name=name, actor=actor, encoded=encoded, email_verified=False
            )
            accept(invitation=invitation, actor=Actor(email, person, source_address=address))
    except (IntegrityError, ValidationError):  # made by someone else meanwhile
        raise Refused(_has_account(email)) from None
    return person


def _has_account(email: str) -> Problem:
    what = f"{email} has an account here already."
    return Problem("has_account", what, "Sign in with it, and you come back here.")


def _locked(key: UUID, generation: int | None = None) -> Invitation:
    found = Invitation.objects.filter(pk=key).select_related("invited_by").first()
    if found is None or generation not in (None, found.generation):
        what = "This invitation was accepted or withdrawn meanwhile, or sent again."
        raise Refused(Problem("invitation_over", what, "Look at the members, or invite again."))
    return found

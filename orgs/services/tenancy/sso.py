"""Who comes by their company's sign-in: known, connected, made, or told why not.

What a provider says is believed of its own subjects. Of an e-mail it is believed only where
it is verified, and then it leads only to an account whose own address is verified too: else
who made an account in somebody else's name would share it with them, or take it over
(docs/decisions/0025-single-sign-on.md).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac

from orgs import company, stored
from orgs.models import FormerSlug, Invitation, Membership, Organization, User
from orgs.registries.problems import Failed, Problem, Refused
from orgs.seen import metrics
from orgs.services.audit import repeats
from orgs.services.audit.events import Actor

from . import attempts, invitations, mails, organizations, people, tallies
from .mails import Mail
from .tallies import Limit, Pause
from .told import events, tell
from .writing import written

# Begun from an address, and answers of a provider that it brought: each makes a session.
BEGUN = Limit("company", 300, attempts.WINDOW, attempts.PAUSES)
ANSWERS = Limit("company-answers", 300, attempts.WINDOW, attempts.PAUSES)
# An assertion is good for minutes; it is remembered for longer.
USED = timedelta(days=1)

log = logging.getLogger(__name__)


class CompanyRefused(Failed):
    """Nobody is in by their company's sign-in."""


@dataclass(frozen=True)
class Said:
    """What a provider says of whom it let in; `verified` is its word on the e-mail, None
    where it has none."""

    provider: company.Provider
    subject: str
    email: str
    verified: bool | None
    name: str
    groups: tuple[str, ...] = ()


def enter(*, said: Said, address: str | None) -> User:
    """Whose sign-in it is, member of what the operator's rules give them; raises
    `CompanyRefused`. Nobody is in by it yet: there may be a second step."""
    try:
        try:
            person = _person(said, address)
        except (IntegrityError, ValidationError, Refused):  # the same sign-in, twice at once
            person = _person(said, address)
    except CompanyRefused as refused:
        metrics.refused_attempts.labels(refused.code).inc()
        _tell_refused(said, refused.code, address)
        raise
    actor = Actor(person.email, person, source_address=address)
    _join(person, said, actor)
    return person


def refuse(
    provider: company.Provider, refused: CompanyRefused, address: str | None, why: str
) -> None:
    """Tell that nobody came in, of whom it isn't known who they are; `why` in our words."""
    metrics.refused_attempts.labels(refused.code).inc()
    found = events(
        "user.sign_in_refused",
        None,
        Actor("not signed in", source_address=address),
        code=refused.code,
        properties={"by": _by(provider), "why": why},
    )
    what = ("company", provider.kind, refused.code, why)
    repeats.record(what, found, settings.SQLITE_TIMEOUT / 1000)


def _by(provider: company.Provider) -> str:
    return f"sign-in at {provider.name}"


# --- who it is ----------------------------------------------------------------


@transaction.atomic
def _person(said: Said, address: str | None) -> User:
    known = SocialAccount.objects.filter(provider=said.provider.key, uid=said.subject)
    if found := known.select_related("user").first():
        if not found.user.is_active:
            raise _not_invited(said)
        return found.user
    email = _verified_email(said)
    person = User.objects.select_for_update(no_key=True).filter(email=email).first()
    if person is None:
        person = _new(said, email, address)
    _require_connectable(said, person)
    _connect(said, person, Actor(person.email, person, source_address=address))
    return person


def _verified_email(said: Said) -> str:
    """Raises `CompanyRefused`, before anybody is looked for: so it tells of nobody."""
    name = said.provider.name
    email = said.email.strip()
    # Letters that only look like others become them when they are made small.
    if not email.isascii() or any(stored.problems(User, email=email.lower())):
        raise CompanyRefused(
            "company_no_email",
            f"Your sign-in at {name} worked, but {name} names no e-mail address of yours that "
            "can be used here.",
            f"Ask who runs {name} to have it passed on.",
        )
    if not _is_verified(said):
        raise CompanyRefused(
            "company_unverified",
            f"Your sign-in at {name} worked, but {name} doesn't say that {email} was verified "
            "to be yours.",
            f"Verify it there, or ask who runs {name}; or sign in here in another way.",
        )
    return email.lower()


def _is_verified(said: Said) -> bool:
    """By the provider's word; where it has none, by the operator's on the domain."""
    if said.verified is None:
        return company.is_trusted(said.email.strip())
    return said.verified


def _require_connectable(said: Said, person: User) -> None:
    """Raises `CompanyRefused` where the account may be somebody else's."""
    name = said.provider.name
    if not person.is_active:
        raise _not_invited(said)
    if not person.email_verified:
        fix = "Use *Forgot your password?* once: the link that it sends shows whose it is."
        if not mails.go_out():
            fix = "Ask staff for a password link and use it: it shows whose the address is."
        raise CompanyRefused(
            "company_account_unverified",
            f"Your sign-in at {name} worked, but whoever made the account of {person.email} here "
            "never showed that the address is theirs.",
            fix.replace("*", ""),
        )
    if SocialAccount.objects.filter(user=person, provider=said.provider.key).exists():
        raise CompanyRefused(
            "company_other_account",
            f"Your sign-in at {name} worked, but the account of {person.email} here belongs to "
            f"another one at {name}.",
            "If your company gave you the address of somebody who left, or made your account "
            "anew, ask staff to end the former connection.",
        )


def _new(said: Said, email: str, address: str | None) -> User:
    """Made for whom a rule or an invitation gives an organization; raises `CompanyRefused`."""
    invited = _invited(email)
    if not invited and not _wanted(email, said.groups):
        raise _not_invited(said)
    actor = Actor(email, source_address=address)
    person = people.person_create(email=email, name=_name(said, email), actor=actor)
    for invitation in invited:
        own = Actor(email, person, source_address=address)
        invitations.accept(invitation=invitation, actor=own)
    return person


def _invited(email: str) -> list[Invitation]:
    """Those that wait for an address, of which its owner is known now."""
    waiting = Invitation.objects.filter(
        email=email, expires_at__gt=Now(), invited_by__is_active=True
    )
    return list(waiting.select_related("organization", "invited_by").order_by("organization"))


def _name(said: Said, email: str) -> str:
    given = " ".join(said.name.split())[:100]
    if given and not any(stored.problems(User, name=given)):
        return given
    return email.partition("@")[0].replace(".", " ").title()[:100]


def _not_invited(said: Said) -> CompanyRefused:
    """Also for whom there is an account that was switched off."""
    whom = said.email.strip()[:254] or "you"
    return CompanyRefused(
        "company_not_invited",
        f"Your sign-in at {said.provider.name} worked, but nobody here has invited {whom}.",
        "Ask an org admin.",
    )


def _connect(said: Said, person: User, actor: Actor) -> None:
    SocialAccount.objects.create(user=person, provider=said.provider.key, uid=said.subject)
    name = said.provider.name
    tell("user.company_connected", person, actor, properties={"at": name})
    mail = Mail(
        f"You sign in by {name} now",
        [
            f"The account {person.email} on Valohai Registries was connected with the sign-in of "
            f"{name}: whoever is let in there as you comes in here.",
            "If that wasn't you, tell the people who run this server.",
        ],
        "/accounts/",
        [person.email],
        f"the company sign-in of user {person.pk}",
    )
    transaction.on_commit(lambda: mails.send(mail) if mails.go_out() else None)


def _tell_refused(said: Said, code: str, address: str | None) -> None:
    """One event a minute for whom it was refused; named where there is an account."""
    who = said.email.strip().lower()
    person = None
    if code != "company_unverified":
        person = User.objects.filter(email=who).first() if who.isascii() else None
    key = salted_hmac("orgs.company", f"{said.provider.key} {said.subject}", algorithm="sha256")
    found = events(
        "user.sign_in_refused",
        person,
        Actor("not signed in", source_address=address),
        code=code,
        properties={"by": _by(said.provider)},
    )
    repeats.record(("company", key.hexdigest(), code), found, settings.SQLITE_TIMEOUT / 1000)


# --- where they belong --------------------------------------------------------


def _join(person: User, said: Said, actor: Actor) -> None:
    """Members of what the rules give them and they aren't in; no role changes."""
    email = said.email.strip().lower()
    by_domain = _is_verified(said) and said.email.isascii()
    wanted = _wanted(email if by_domain else "", said.groups)
    here = set(Membership.objects.filter(user=person).values_list("organization", flat=True))
    for organization, role in wanted.items():
        if organization.pk in here:
            continue
        try:
            organizations.member_add(
                organization=organization, user=person, role=role, actor=actor,
                by=_by(said.provider),
            )  # fmt: skip
        except Refused as refused:
            if refused.code not in ("already_a_member", "unverified_email"):
                raise


def _wanted(email: str, groups: tuple[str, ...]) -> dict[Organization, str]:
    """What the rules give, of the organizations that there are; by former short names too,
    which are nobody else's ever."""
    roles = company.roles(email, groups)
    if not roles:
        return {}
    by_slug = {found.slug: found for found in Organization.objects.filter(slug__in=roles)}
    former = FormerSlug.objects.filter(slug__in=roles, organization__isnull=False)
    for one in former.select_related("organization"):
        assert one.organization is not None
        by_slug.setdefault(one.slug, one.organization)
    wanted: dict[Organization, str] = {}
    for slug, role in roles.items():
        if (organization := by_slug.get(slug)) is None:
            log.warning("SSO_ORGANIZATIONS names “%s”, and there is no such organization", slug)
        elif wanted.get(organization) != "admin":
            wanted[organization] = role
    return wanted


# --- limits, and what is used once ---------------------------------------------


def was_good(address: str | None) -> None:
    """Uncount what led somebody in: a company of many shares an address."""
    source = attempts.source_of(address)
    for limit in (BEGUN, ANSWERS):
        tallies.give_back(limit, source)


def pause(limit: Limit, address: str | None) -> Pause | None:
    """Count one more from an address; how long none is taken, where none is."""
    source = attempts.source_of(address)
    tallies.prepare([limit.key(source)])
    return tallies.take(limit, source)


def use(provider: company.Provider, assertion: str) -> bool:
    """Take an assertion; False where it was taken before, by whichever process."""
    text = f"{provider.key} {assertion}"
    used = salted_hmac("orgs.used_assertion", text, algorithm="sha256").hexdigest()
    return tallies.count(f"assertion:{used}", USED) == 1


# --- one's own ----------------------------------------------------------------


def connections(person: User) -> list[tuple[int, str]]:
    """Row and name of the company sign-ins that somebody has, of those that are set."""
    names = {one.key: one.name for one in company.providers()}
    if not names:
        return []
    rows = SocialAccount.objects.filter(user=person, provider__in=names).order_by("pk")
    return [(pk, names[key]) for pk, key in rows.values_list("pk", "provider")]


def has_other_way(person: User) -> bool:
    """Whether somebody gets in without their company."""
    passkeys = Authenticator.objects.filter(user=person, type=Authenticator.Type.WEBAUTHN)
    alone = any(passkey.wrap().is_passwordless for passkey in passkeys)
    return person.has_usable_password() or alone


def disconnect(*, person: User, actor: Actor, key: int | None = None) -> int:
    """End one's connection, or all of them (`key` None: staff, a command); how many. Raises
    `Refused` where it's the only way in, unless staff end it."""
    with written(person) as standing:
        rows = SocialAccount.objects.filter(user=standing)
        if key is not None:
            rows = rows.filter(pk=key)
            if rows.exists() and not has_other_way(standing):
                what = "Your company's sign-in is your only way in."
                raise Refused(Problem("only_way_in", what, "Set a password first."))
        names = {one.key: one.name for one in company.providers()}
        ended = [names.get(row.provider, row.provider) for row in rows]
        rows.delete()
        for name in ended:
            tell("user.company_disconnected", standing, actor, properties={"at": name})
    return len(ended)

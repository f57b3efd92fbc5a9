"""Tokens: issued once, kept as key id and digest, ending by time or by revocation.

A token reads `vrw_<key id>_<secret>` for workers and `vra_<key id>_<secret>` for a
person; the secret is 256 random bits. Its text is given out by the functions that
issue it, and is neither stored nor logged.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeVar

from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from orgs.models import ApiToken, Environment, Membership, Organization, User, WorkerToken
from orgs.registries.problems import Failed, Problem, Refused
from orgs.services.audit import repeats
from orgs.services.audit.clock import database_now
from orgs.services.audit.events import Actor, event, record

from .attempts import source_of

AnyToken: TypeAlias = WorkerToken | ApiToken
Kind = TypeVar("Kind", WorkerToken, ApiToken)

USED_EVERY = timedelta(minutes=5)
LONGEST = timedelta(days=3650)
_SHAPE = re.compile(r"(vrw|vra)_([0-9a-f]{16})_[0-9a-f]{64}")


class TokenEnded(Failed):
    """A true token that has expired or was revoked; carries which."""

    def __init__(self, code: str, what: str, token: AnyToken) -> None:
        super().__init__(code, what, "Issue another, or ask an org admin to.")
        self.token = token


class AlreadyIssued(Exception):
    """The request to issue a token came again; carries the one that it made."""

    def __init__(self, token: AnyToken) -> None:
        super().__init__(f"Already issued as {token.name}.")
        self.token = token


# --- issuing and revoking -----------------------------------------------------


def token_issue_worker(
    *,
    organization: Organization,
    name: str,
    actor: Actor,
    environment: Environment | None = None,
    any_environment: bool = False,
    expires_in: timedelta | None = None,
    once: str = "",
) -> tuple[WorkerToken, str]:
    """A worker token and, this once, its text; raises `Refused`, `AlreadyIssued`.

    Bound to `environment`, or acting as any of them, or (neither) reaching only
    what serves all environments. `once` names the request, so that the same one
    sent again (a page reloaded, a button pressed twice) makes no second token.
    """
    expires_at = _checked(name, expires_in)
    if environment is not None and any_environment:
        raise _refuse("two_reaches", "A token is bound to one environment, or to none.", "Choose.")
    if environment is not None and environment.organization_id != organization.pk:
        raise _refuse(
            "environment_not_found",
            "The environment isn't one of this organization.",
            "Choose among the organization's own.",
            "environment",
        )
    token = WorkerToken(
        organization=organization, environment=environment, any_environment=any_environment
    )
    reach = "any" if any_environment else environment.slug if environment else ""
    told = {"kind": "worker", "environment": reach}
    return token, _issue(token, name, expires_at, actor, organization, told, once)


def token_issue_api(
    *,
    user: User,
    name: str,
    actor: Actor,
    organization: Organization | None = None,
    expires_in: timedelta | None = None,
    once: str = "",
) -> tuple[ApiToken, str]:
    """A person's API token and, this once, its text; raises `Refused`, `AlreadyIssued`.

    With `organization` it reaches that one alone, and ends with their membership.
    `once` as for a worker token.
    """
    expires_at = _checked(name, expires_in)
    membership = None
    if organization is not None:
        membership = Membership.objects.filter(user=user, organization=organization).first()
        if membership is None:
            raise _refuse(
                "not_a_member",
                f"{user.email} isn't a member of {organization}.",
                "Choose an organization of theirs.",
                "organization",
            )
    token = ApiToken(user=user, membership=membership)
    told = {"kind": "user", "user": user.email}
    return token, _issue(token, name, expires_at, actor, organization, told, once)


def token_revoke(*, token: AnyToken, actor: Actor) -> None:
    """End a token now; revoking it again changes and tells nothing."""
    with transaction.atomic():
        standing = type(token)._default_manager.filter(pk=token.pk, revoked_at=None)
        if not standing.update(revoked_at=Now()):
            return
        _tell("token.revoked", token, actor, token.organization, {})


def _checked(name: str, expires_in: timedelta | None) -> datetime | None:
    if not name.strip() or len(name.strip()) > 100 or not name.strip().isprintable():
        raise _refuse(
            "invalid_name",
            "A token needs a name of at most 100 characters.",
            "Name the workers or the script that will use it.",
            "name",
        )
    if expires_in is None:
        return None
    if not timedelta(0) < expires_in <= LONGEST:
        raise _refuse(
            "invalid_expiry",
            f"A token lives between a day and {LONGEST.days} days.",
            "Give the days in between, or none for a token without an end.",
            "expires_in",
        )
    return database_now() + expires_in


def _issue(
    token: AnyToken,
    name: str,
    expires_at: datetime | None,
    actor: Actor,
    organization: Organization | None,
    told: dict[str, Any],
    once: str,
) -> str:
    token.key_id = digest(f"{actor.name} {once}")[:16] if once else secrets.token_hex(8)
    text = f"{token.begins_with}_{secrets.token_hex(32)}"
    token.digest = digest(text)
    token.name = name.strip()
    token.created_by = actor.user
    token.expires_at = expires_at
    if expires_at is not None:
        told = told | {"expires_at": expires_at.isoformat(timespec="seconds")}
    try:
        with transaction.atomic():
            token.save(force_insert=True)
            _tell("token.issued", token, actor, organization, told)
    except IntegrityError:
        standing = type(token)._default_manager.filter(key_id=token.key_id).first()
        if not once or standing is None:
            raise
        raise AlreadyIssued(standing) from None
    return text


def _tell(
    action: str,
    token: AnyToken,
    actor: Actor,
    organization: Organization | None,
    properties: dict[str, Any],
) -> None:
    record(
        actor=actor,
        action=action,
        organization=organization,
        subject_id=token.begins_with,
        subject=token.name,
        properties=properties,
    )


def _refuse(code: str, what: str, fix: str, field: str | None = None) -> Refused:
    return Refused(Problem(code, what, fix, field))


# --- recognizing --------------------------------------------------------------


def worker_key_id(text: str) -> str | None:
    """The key id in a worker token's text, where it has the shape of one."""
    shape = _SHAPE.fullmatch(text)
    return shape[2] if shape and shape[1] == WorkerToken.prefix else None


def worker_actor(name: str, key_id: str, source_address: str | None) -> Actor:
    """Whom the audit log names for what a worker token does."""
    begins_with = f"{WorkerToken.prefix}_{key_id}"
    return Actor(f"worker {name}", source_address=source_address, token=begins_with)


def authenticate(text: str) -> AnyToken:
    """The token with this text, its organization (and environment) loaded; one query.

    Raises `Failed` not_authenticated, and `TokenEnded` token_expired or
    token_revoked: those only to who holds the whole text.
    """
    shape = _SHAPE.fullmatch(text)
    token = _tokens(shape[1]).filter(key_id=shape[2]).first() if shape else None
    if token is None or not hmac.compare_digest(token.digest, digest(text)):
        raise Failed(
            "not_authenticated",
            "No token of this server came with the request.",
            "Send one in the header “Authorization: Token …”.",
        )
    return _standing(token)


def still_valid(token: Kind) -> Kind:
    """The same token as it stands now; raises as `authenticate`."""
    fresh = _tokens(token.prefix).filter(pk=token.pk).first()
    if fresh is None:
        raise Failed("not_authenticated", "The token was deleted.", "Use another.")
    return _standing(fresh)


def mark_used(token: AnyToken, source_address: str | None) -> None:
    """One write in five minutes at most; one that fails stops nobody."""
    used = token.last_used_at
    if used is not None and abs(timezone.now() - used) < USED_EVERY:
        return
    old, wrong = Q(last_used_at__lte=Now() - USED_EVERY), Q(last_used_at__gt=Now())
    rows = type(token)._default_manager.filter(Q(last_used_at=None) | old | wrong, pk=token.pk)
    try:
        rows.update(last_used_at=Now(), last_address=source_address)
    except DatabaseError:
        pass


def use_refused(ended: TokenEnded, source_address: str | None) -> None:
    """Tell that someone came with a token that has ended: it may have leaked.

    For each address at once, and from then on how often, once a minute.
    """
    token = ended.token
    told = event(
        actor=Actor(f"token {token.name}", source_address=source_address),
        action="token.refused",
        organization=token.organization,
        subject_id=token.begins_with,
        subject=token.name,
        code=ended.code,
    )
    try:
        repeats.record(("token", token.key_id, source_of(source_address), ended.code), [told])
    except DatabaseError:
        pass


def _tokens(prefix: str) -> QuerySet[Any]:
    """Tokens of a kind whose access hasn't ended with their person's."""
    if prefix == WorkerToken.prefix:
        return WorkerToken.objects.select_related("organization", "environment")
    return ApiToken.objects.filter(user__is_active=True).select_related(
        "user", "membership__organization"
    )


def _standing(token: Kind) -> Kind:
    if token.revoked_at is not None:
        raise TokenEnded("token_revoked", f"The token “{token.name}” was revoked.", token)
    if token.expires_at is not None and token.expires_at <= timezone.now():
        day = token.expires_at.date().isoformat()
        raise TokenEnded("token_expired", f"The token “{token.name}” expired on {day}.", token)
    return token


def digest(text: str) -> str:
    """What is kept of a token's text."""
    return hashlib.sha256(text.encode()).hexdigest()

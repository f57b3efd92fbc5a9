"""People as staff look after them: made, changed, let in by a link, erased.

Whoever comes in with an organization is made by `organizations.person`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, Permission
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.db import transaction
from django.db.models import F
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from orgs import stored
from orgs.models import Invitation, User
from orgs.registries.problems import Problem, Refused
from orgs.services.audit.events import Actor, record

from . import attempts, mails, organizations, powers, sessions, tokens
from .mails import Mail
from .told import tell
from .writing import written


class LinkTokens(PasswordResetTokenGenerator):
    """Django's, ended also by the next link.

    Links made before there were generations read as Django makes them, and work on.
    """

    def _make_hash_value(self, user: Any, timestamp: int) -> str:
        value = super()._make_hash_value(user, timestamp)
        return f"{value}:{user.link_generation}" if user.link_generation else value


link_tokens = LinkTokens()


def person_create(
    *, email: str, name: str, actor: Actor, encoded: str = "", email_verified: bool = True
) -> User:
    """A new person; without a password until they set one by `person_link`.

    `encoded` is a password's hash: hashing takes long, and nothing may wait for it
    inside a transaction. Raises
    `Refused` for what can't be stored.
    """
    stored.require(User, email=email, name=name)
    with transaction.atomic():
        person = User.objects.create_user(email, None, name=name, email_verified=email_verified)
        if encoded:
            person.password = encoded
            person.save(update_fields=["password"])
        _record("user.created", person, actor, {})
    return person


def person_update(
    *,
    person: User,
    actor: Actor,
    permissions: Iterable[Permission] | None = None,
    groups: Iterable[Group] | None = None,
    **values: Any,
) -> User:
    """Change name, e-mail or what they may do; `permissions` and `groups` None leave those as
    they are.

    Raises `Refused` for what can't be stored, and for whom the actor may not change.
    """
    texts = {name: text for name, text in values.items() if isinstance(text, str)}
    stored.require(User, **texts)
    with written(person) as standing:
        powers.require_may_change(actor, standing)
        changes = {
            name: [getattr(standing, name), value]
            for name, value in values.items()
            if getattr(standing, name) != value
        }
        for name, (_, after) in changes.items():
            setattr(standing, name, after)
        if changes:
            standing.save()
        if "is_active" in changes and not standing.is_active:
            # Whoever is let in no more lets nobody in.
            Invitation.objects.filter(invited_by=standing).delete()
            sessions.end(standing, None)
        for name, held, given, called in (
            ("permissions", standing.user_permissions, permissions, "codename"),
            ("groups", standing.groups, groups, "name"),
        ):
            if given is not None and (changed := _set(held, given, called)):
                changes[name] = changed
        if changes:
            _record("user.updated", standing, actor, {"changes": changes})
    return standing


def person_link(*, person: User, actor: Actor) -> str:
    """A one-time address where they set a password; it is neither stored nor told.

    It ends those made for them before and their pause after too many failed sign-ins,
    and stands in the logs of their organizations. Raises `Refused` for whom the actor may
    not change.
    """
    return _link(person, actor, powers.require_may_change)


def person_link_send(*, person: User, actor: Actor) -> None:
    """As `person_link`, sent to the person's address and shown to nobody."""
    link = _link(person, actor, powers.require_may_send)
    sentences = [
        f"{actor.name} of the staff of Valohai Registries sends you this link to set a password.",
        "It works once, within three days. If you didn't ask for it, do nothing.",
    ]
    subject = "Set your password for Valohai Registries"
    about = f"password link of {person.pk}"
    mails.send(Mail(subject, sentences, link, [person.email], about))


def _link(person: User, actor: Actor, require: Callable[[Actor, User], None]) -> str:
    with written(person) as standing:
        require(actor, standing)
        User.objects.filter(pk=person.pk).update(link_generation=F("link_generation") + 1)
        person.refresh_from_db(fields=["link_generation"])
        attempts.pause_end(person)
        attempts.codes_pause_end(person)
        tell("user.link_issued", person, actor)
    uid = urlsafe_base64_encode(force_bytes(person.pk))
    token = link_tokens.make_token(person)
    return settings.BASE_URL + reverse("set_password", args=[uid, token])


def password_set(
    *,
    person: User,
    password: str,
    actor: Actor,
    token: str | None = None,
    by_link: bool = True,
    this: str | None = None,
) -> None:
    """A new password, which ends links and all sessions but `this`; raises `places.Full`, and
    `Refused` where the link's `token` was used a moment ago."""
    encoded = make_password(password)  # takes long, so before the transaction
    with written(person) as standing:
        if token is not None and not link_tokens.check_token(standing, token):
            what = "This link was used a moment ago."
            raise Refused(Problem("link_over", what, "Sign in with the password that was set."))
        standing.password = encoded
        if by_link and not standing.email_verified:
            _verified(standing, actor)
        standing.save(update_fields=["password", "email_verified"])
        attempts.pause_end(standing)
        sessions.end(standing, this)
        tell("user.password_changed", standing, actor)
    person.refresh_from_db()


def _verified(person: User, actor: Actor) -> None:
    """A link was sent to the address, by this server or by who runs it: it's theirs now, and
    what somebody else may have issued before ends. Second steps stay: where mails go out
    nobody adds one before this, and a link never skips one."""
    person.email_verified = True
    for token in person.api_tokens.filter(revoked_at=None):
        tokens.token_revoke(token=token, actor=actor)


def sessions_end(*, person: User, actor: Actor, this: str | None, key: int | None = None) -> int:
    """Sign somebody out elsewhere: of one session, or of all but `this`; how many ended."""
    with transaction.atomic():
        count = sessions.end(person, this, key)
        if count:
            tell("user.sessions_ended", person, actor, properties={"count": count})
    return count


def person_delete(*, person: User, actor: Actor) -> None:
    """Erase someone with their memberships, tokens and personal projects.

    Raises `Refused` where they are an organization's only admin, and for whom the actor may
    not change.
    """
    with written(person) as standing:
        powers.require_may_change(actor, standing)
        for membership in person.memberships.select_related("organization", "user"):
            organizations.member_remove(membership=membership, actor=actor)
        _record("user.deleted", person, actor, {})
        person.delete()


def _set(held: Any, given: Iterable[Any], called: str) -> list[list[str]]:
    """Have them hold what is given; [before, after] where that differs, by what it's called."""
    before, after = (sorted(getattr(one, called) for one in those) for those in (held.all(), given))
    held.set(given)
    return [before, after] if before != after else []


def _record(action: str, person: User, actor: Actor, properties: dict[str, Any]) -> None:
    record(
        actor=actor,
        action=action,
        subject_id=person.pk,
        subject=person.email,
        properties=properties,
    )

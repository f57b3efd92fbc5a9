"""Organizations, their members and environments.

Each change is written together with the event that tells it; repeating what stands
changes nothing and tells nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.text import slugify

from orgs import stored
from orgs.models import (
    Environment,
    FormerSlug,
    IndexedPattern,
    Invitation,
    Membership,
    Organization,
    RegistryEntry,
    User,
    WorkerToken,
)
from orgs.registries.problems import Problem, Refused
from orgs.services.audit.events import Actor, record

from . import second_steps
from .powers import require_another
from .writing import change, tell, tell_change, tell_end, written

MOST_FORMER = 20  # short names of an organization that nobody else may have


def person(email: str, *, name: str = "") -> tuple[User, bool]:
    """The user with this e-mail, and whether they are new (then without a password).

    Raises `Refused` where it can't be one, or nobody knows whose the address is.
    """
    email = email.strip().lower()
    found = User.objects.filter(email=email).first()
    if found is not None:
        require_verified(found)
        return found, False
    name = name or email.partition("@")[0].replace(".", " ").title()[:100]
    stored.require(User, email=email, name=name)
    return User.objects.create_user(email, None, name=name), True


def require_verified(user: User) -> None:
    """Raises `Refused` for an account whose address is somebody's word alone."""
    if not user.email_verified:
        raise Refused(
            Problem(
                "unverified_email",
                f"Whoever made the account {user.email} never showed that the address is theirs.",
                "Send a new password link to that address; once they used it, go on.",
                "user",
            )
        )


def require_admin(organization: Organization, actor: Actor) -> None:
    """Behind the organization's lock: whoever was its admin a moment ago may be so no more.
    Raises `Refused`. Staff and commands aren't asked."""
    if actor.user is None or actor.staff:
        return
    own = organization.memberships.filter(user=actor.user, user__is_active=True)
    if not own.filter(role=Membership.Role.ADMIN).exists():
        what = f"You're no org admin of {organization} any more."
        raise Refused(Problem("not_an_admin", what, "Ask one of its org admins."))
    if organization.admins_need_mfa and not second_steps.has_one(actor.user):
        what = f"Org admins of {organization} need two-step sign-in."
        raise Refused(Problem("mfa_needed", what, "Set it up on your account page."))


def organization_create(
    *, name: str, admin: User, actor: Actor, slug: str | None = None, made_up: bool = False
) -> Organization:
    """An organization with its first admin; raises `Refused` where the slug is taken.
    `made_up` is for `services.demo` alone, and stays so for good."""
    stored.require(Organization, name=name)
    slug = slug or slugify(name)
    if problem := slug_problem(slug):
        raise Refused(problem)
    with transaction.atomic():
        organization = Organization.objects.create(name=name, slug=slug, made_up=made_up)
        Membership.objects.create(organization=organization, user=admin, role=Membership.Role.ADMIN)
        record(
            actor=actor,
            action="organization.created",
            organization=organization,
            subject_id=organization.pk,
            subject=name,
            properties={"admin": admin.email} | ({"made_up": True} if made_up else {}),
        )
    return organization


def slug_problem(slug: str, organization: Organization | None = None) -> Problem | None:
    """What is wrong with a short name, for a new organization or the one given."""
    if not slug or slug != slugify(slug) or len(slug) > 60:
        shown = "".join(letter for letter in slug if letter.isprintable())
        return Problem(
            "invalid_slug",
            f"“{shown[:60]}” can't be the organization's short name in addresses.",
            "Give one with lower-case letters, digits and dashes.",
            "slug",
        )
    others = Organization.objects.filter(slug=slug)
    former = FormerSlug.objects.filter(slug=slug)
    if organization is not None:
        others = others.exclude(pk=organization.pk)
        former = former.exclude(organization=organization)
    return _slug_taken(slug) if others.exists() or former.exists() else None


def _slug_taken(slug: str) -> Problem:
    what = f"“{slug}” is, or was, another organization's."
    return Problem("duplicate_slug", what, "Choose another short name.", "slug")


def organization_update(
    *, organization: Organization, actor: Actor, name: str, slug: str
) -> Organization:
    """Rename; the addresses by the slug before lead on. Raises `Refused` where the slug is
    or was another's."""
    stored.require(Organization, name=name)
    if problem := slug_problem(slug, organization):
        raise Refused(problem)
    try:
        return _rename(organization, actor, name, slug)
    except IntegrityError:  # somebody else took it meanwhile
        raise Refused(_slug_taken(slug)) from None


def _rename(organization: Organization, actor: Actor, name: str, slug: str) -> Organization:
    with written(organization) as standing:
        require_admin(standing, actor)
        if slug != standing.slug:
            if standing.former_slugs.count() >= MOST_FORMER:
                what = f"{standing} had {MOST_FORMER} short names already."
                raise Refused(Problem("too_many", what, "Keep this one.", "slug"))
            FormerSlug.objects.filter(slug=slug).delete()  # its own, which it takes back
            FormerSlug.objects.create(slug=standing.slug, organization=standing)
        changed = change(standing, name=name, slug=slug)
        tell_change("organization.updated", actor, standing, standing, changed)
    return standing


def policies_set(
    *, organization: Organization, actor: Actor, admins_need_mfa: bool, no_personal_projects: bool
) -> Organization:
    """What is asked of its people; raises `Refused` where the actor would shut themselves out."""
    with written(organization) as standing:
        require_admin(standing, actor)
        turned_on = admins_need_mfa and not standing.admins_need_mfa
        if turned_on and actor.user is not None and not second_steps.has_one(actor.user):
            what = "You have no second step yourself, so this would keep you out."
            fix = "Set one up on your account page first."
            raise Refused(Problem("mfa_needed", what, fix, "admins_need_mfa"))
        changed = change(
            standing, admins_need_mfa=admins_need_mfa, no_personal_projects=no_personal_projects
        )
        tell_change("organization.updated", actor, standing, standing, changed)
    return standing


def organization_delete(
    *, organization: Organization, actor: Actor, told: Mapping[str, object] = MappingProxyType({})
) -> None:
    """Erase it with all its entries, members, projects and tokens; the events stay. `told` is
    what its event tells besides."""
    with written(organization) as standing:
        before = {"slug": standing.slug, **told}
        tell_end("organization.deleted", actor, standing, standing, before)
        FormerSlug.objects.get_or_create(slug=standing.slug)
        # Patterns protect their environment, even where both are to go.
        standing.entries.all().delete()
        standing.delete()


# --- members ------------------------------------------------------------------


def member_add(
    *, organization: Organization, user: User, role: str, actor: Actor, by: str = ""
) -> Membership:
    """Make someone a member; raises `Refused` where they are one, or whose their address is
    isn't known, and for staff who'd add themselves. `by` is what for, where nobody did it by
    hand."""
    require_verified(user)
    require_another(actor, user)
    with written(organization) as standing:
        if standing.memberships.filter(user=user).exists():
            raise Refused(
                Problem(
                    "already_a_member",
                    f"{user} is a member of {standing} already.",
                    "Change their role there.",
                    "user",
                )
            )
        membership = Membership.objects.create(organization=standing, user=user, role=role)
        # Who comes in as one thing isn't to be another by a link from before.
        standing.invitations.filter(email=user.email).delete()
        told = {"role": role, "by": by} if by else {"role": role}
        tell("member.added", actor, standing, user, told)
    return membership


def member_set_role(*, membership: Membership, role: str, actor: Actor) -> Membership:
    """Change what someone may do; raises `Refused` for the last org admin. The invitations
    of one who is no longer an admin are withdrawn."""
    with written(membership.organization) as organization:
        require_admin(organization, actor)
        standing = organization.memberships.select_related("user").get(pk=membership.pk)
        if standing.role == role:
            return standing
        require_another(actor, standing.user)
        _keep_an_admin(standing)
        before, standing.role = standing.role, role
        standing.save()
        told = {"changes": {"role": [before, role]}, **_withdrawn(standing)}
        tell("member.role_changed", actor, organization, standing.user, told)
    return standing


def member_remove(*, membership: Membership, actor: Actor) -> None:
    """End a membership, and with it their tokens here and the invitations they made; raises
    `Refused` for the last org admin."""
    with written(membership.organization) as organization:
        standing = organization.memberships.select_related("user").get(pk=membership.pk)
        if standing.user != actor.user:
            require_admin(organization, actor)
        _keep_an_admin(standing)
        told = {"role": standing.role, **_withdrawn(standing)}
        tell("member.removed", actor, organization, standing.user, told)
        standing.delete()


def invitations_by(membership: Membership) -> QuerySet[Invitation]:
    """Those of theirs that wait here: whoever goes leaves no door open."""
    return membership.organization.invitations.filter(invited_by=membership.user)


def _withdrawn(membership: Membership) -> dict[str, list[str]]:
    """End what waits of theirs; gives what to tell of it."""
    waiting = invitations_by(membership)
    emails = list(waiting.values_list("email", flat=True))
    waiting.delete()
    return {"invitations_withdrawn": emails} if emails else {}


def _keep_an_admin(leaving: Membership) -> None:
    admins = leaving.organization.memberships.filter(
        role=Membership.Role.ADMIN, user__is_active=True
    )
    if leaving.role == Membership.Role.ADMIN and not admins.exclude(pk=leaving.pk).exists():
        raise Refused(
            Problem(
                "last_admin",
                f"{leaving.user} is the only org admin of {leaving.organization}.",
                "Make someone else one first.",
            )
        )


# --- environments ------------------------------------------------


def environment_create(
    *, organization: Organization, name: str, slug: str, actor: Actor
) -> Environment:
    """A new group of workers; raises `Refused` where the slug is taken."""
    stored.require(Environment, name=name, slug=slug)
    with written(organization) as standing:
        _refuse_environment_slug(standing, slug)
        environment = Environment.objects.create(organization=standing, name=name, slug=slug)
        tell("environment.created", actor, standing, environment, {"slug": slug})
    return environment


def environment_update(
    *, environment: Environment, actor: Actor, name: str, slug: str
) -> Environment:
    """Rename; workers that ask by its slug must ask by the new one. Raises `Refused`."""
    stored.require(Environment, name=name, slug=slug)
    with written(environment.organization) as organization:
        standing = organization.environments.get(pk=environment.pk)
        _refuse_environment_slug(organization, slug, standing)
        changed = change(standing, name=name, slug=slug)
        tell_change("environment.updated", actor, organization, standing, changed)
    return standing


def environment_delete(*, environment: Environment, actor: Actor) -> None:
    """Erase it, and the revoked tokens that were bound to it.

    Raises `Refused`, naming them, while entries or other tokens are limited to it.
    """
    with written(environment.organization) as organization:
        standing = organization.environments.get(pk=environment.pk)
        uses = environment_uses(standing)
        named = [str(use) for use in (*uses.entries, *uses.tokens)]
        if named:
            more = f" and {len(named) - 3} more" if len(named) > 3 else ""
            raise Refused(
                Problem(
                    "environment_in_use",
                    f"Limited to {standing}: {', '.join(named[:3])}{more}.",
                    "Choose other environments for the entries, and revoke the tokens, first.",
                )
            )
        tell_end("environment.deleted", actor, organization, standing, {"slug": standing.slug})
        standing.worker_tokens.all().delete()
        standing.delete()


@dataclass(frozen=True)
class Uses:
    """What is limited to an environment, so that it can't be deleted."""

    entries: list[RegistryEntry]
    tokens: list[WorkerToken]


def environment_uses(environment: Environment) -> Uses:
    """Its entries with their patterns, and its tokens that aren't revoked."""
    limited = IndexedPattern.objects.filter(environment=environment).values("entry")
    return Uses(
        list(RegistryEntry.objects.of(environment.organization).filter(pk__in=limited)),
        list(environment.worker_tokens.filter(revoked_at=None)),
    )


def _refuse_environment_slug(
    organization: Organization, slug: str, environment: Environment | None = None
) -> None:
    others = organization.environments.filter(slug=slug)
    if environment is not None:
        others = others.exclude(pk=environment.pk)
    if others.exists():
        raise Refused(
            Problem(
                "duplicate_slug",
                f"{organization} has an environment “{slug}” already.",
                "Choose another short name.",
                "slug",
            )
        )

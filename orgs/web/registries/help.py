"""Help beside the entry form, and the same while one types.

What is typed comes here without names of keys or roles and without secrets; nothing is
stored or refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from orgs import access
from orgs.forms.entry import EntryForm
from orgs.models import Environment, Organization, RegistryEntry
from orgs.registries.catalogue import BY_SLUG, first
from orgs.registries.pasted import texts
from orgs.registries.pattern_help import Covers, covers
from orgs.registries.patterns import MatchPattern, not_a_registry
from orgs.registries.problems import Problem, Refused
from orgs.registries.types import AccessPolicy, RegistryType
from orgs.services.entries.neighbours import Neighbours, neighbours
from orgs.services.entries.validating import parse_patterns
from orgs.web.context import SignedIn

SHOWN = 3
MOST_TOLD = 50


@dataclass(frozen=True)
class Help:
    """What is told of a pattern: examples of the first `SHOWN`, and of how many it isn't;
    what is wrong; which entries it meets; what to attach at the provider; and what isn't
    said, since the form's fields say it."""

    covers: list[Covers]
    more: int
    problems: list[Problem]
    neighbours: Neighbours
    policy: AccessPolicy | None
    silent: tuple[str, ...] = ()


@login_required
@require_POST
@never_cache
@sensitive_post_parameters()
def entry_help(request: SignedIn, slug: str) -> HttpResponse:
    """The help for what is typed, to take the place of that in the page."""
    organization = access.organization_for_admin(request.user, slug)
    typed = request.POST
    found = help_for(
        organization,
        patterns=texts(typed.get("patterns", "")),
        type_slug=typed.get("registry_type", ""),
        given=typed,
        environments=typed.getlist("environments"),
        entry_id=_uuid(typed.get("entry", "")),
        silent=typed.get("told", "").split()[:MOST_TOLD],
    )
    return render(request, "registries/_help.html", {"organization": organization, "help": found})


def help_beside(form: EntryForm) -> Help:
    """The help for what the form holds, as the page begins. What its fields say already
    isn't said again."""
    given = {f.name: str(form[f.name].value() or "") for f in form.type.config_fields}
    chosen = form["environments"].value() if "environments" in form.fields else []
    return help_for(
        form.organization,
        patterns=texts(str(form["patterns"].value() or "")),
        type_slug=form.type.slug,
        given=given,
        environments=[str(key) for key in chosen or []],
        entry_id=form.entry.pk if form.entry else None,
        silent=told_in(form),
    )


def told_in(form: EntryForm) -> list[str]:
    """What the form's fields say: “field:code” of each of their errors."""
    errors = form.errors.as_data() if form.is_bound else {}
    told = [f"{name}:{error.code}" for name, several in errors.items() for error in several]
    return list(dict.fromkeys(told))[:MOST_TOLD]


def help_for(
    organization: Organization,
    *,
    patterns: Sequence[str],
    type_slug: str,
    given: Mapping[str, str],
    environments: Sequence[str],
    entry_id: UUID | None,
    silent: Sequence[str] = (),
) -> Help:
    """`given` is looked at only for fields that are chosen from a list, such as Region, or
    ticked. Of `silent`, as `told_in` gives them, nothing is said."""
    kind = BY_SLUG.get(type_slug) or first()
    config = {
        field.name: given.get(field.name, "")
        for field in kind.config_fields
        if field.choices is not None and given.get(field.name, "") in dict(field.choices())
    }
    config |= {f.name: f.meant(given.get(f.name, "")) for f in kind.config_fields if f.switch}
    parsed, problems = parse_patterns(patterns, kind) if patterns else ([], [])
    if parsed:
        problems += _problems_of_type(kind, config, parsed)
        sites = [kind.fitting(site) for p in parsed if (site := not_a_registry(p))]
        problems += [site for site in sites if site not in problems]
    # A web site has no images to show.
    told = [pattern for pattern in parsed if not_a_registry(pattern) is None]
    shown = told[:SHOWN]
    own = Environment.objects.filter(organization=organization)
    chosen = [environment for environment in own if str(environment.pk) in environments]
    met = neighbours(organization, parsed, chosen, exclude=entry_id)
    return Help(
        covers=[covers(pattern) for pattern in shown],
        more=len(told) - len(shown),
        problems=_untold(problems, silent)[:SHOWN],
        neighbours=replace(met, duplicates=tuple(_untold(met.duplicates, silent))),
        silent=tuple(silent),
        policy=kind.policy(config | _whose(organization, kind, entry_id), parsed),
    )


def _whose(organization: Organization, kind: RegistryType, entry_id: UUID | None) -> dict[str, str]:
    """What was read out of the secret that the entry has, where it's of this type."""
    if not kind.derived or entry_id is None:
        return {}
    same = RegistryEntry.objects.filter(
        organization=organization, pk=entry_id, registry_type=kind.slug
    )
    return kind.derived_of(next(iter(same.values_list("config", flat=True)), {}))


def _untold(problems: Sequence[Problem], silent: Sequence[str]) -> list[Problem]:
    """Those that no field says: it isn't told which of several patterns a field's sentence
    is about, so of a field and code all are left out."""
    return [problem for problem in problems if f"{problem.field}:{problem.code}" not in silent]


def _problems_of_type(
    kind: RegistryType, config: Mapping[str, str], patterns: Sequence[MatchPattern]
) -> list[Problem]:
    """What the type has against the patterns, and what is chosen; of other fields nothing is
    known yet."""
    try:
        kind.clean(config, {}, patterns)
    except Refused as refused:
        return [p for p in refused.problems if p.field in {"patterns", *config}]
    return []


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None

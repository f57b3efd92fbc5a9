"""Registry entries for scripts, as the platform's Terraform provider speaks of them.

All writing goes through `services.entries`; here requests become specs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeAlias, cast
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest
from ninja import Path, Query, Router, Status

from orgs import access
from orgs.models import ApiToken, Environment, Organization, RegistryEntry
from orgs.registries import ends
from orgs.registries.catalogue import BY_SLUG
from orgs.registries.problems import Problem, Refused
from orgs.services.entries import door
from orgs.services.entries.changing import EntryChange
from orgs.services.entries.policies import assigned_to, trusted_by
from orgs.services.entries.validating import EntrySpec, given_config

from . import schemas
from .authentication import ApiTokenAuth, person_actor
from .errors import ANYWHERE, FIELDS

router = Router(auth=ApiTokenAuth(), tags=["Registry credentials"])

# The only form of `configuration` there has been.
VERSION = "1"
PAGE_SIZE, MOST = 50, 200

_MANAGED = ("invalid_request", "admins_only", "mfa_needed", "not_found", *ANYWHERE)
EntryId: TypeAlias = Annotated[UUID, Path(description="The entry's `id`, which the list has.")]


def _documented(name: str, summary: str, status: int, schema: Any, *codes: str) -> dict[str, Any]:
    found = schemas.answers({status: schema}, schemas.Error, *codes, *_MANAGED)
    return found | {"operation_id": f"registry_credentials_{name}", "summary": summary}


@router.get(
    "/",
    url_name="credentials",
    **_documented("list", "List entries", 200, schemas.CredentialsPage, FIELDS),
)
def index(
    request: HttpRequest,
    owner: schemas.OwnerId | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST, description="How many at most.")] = PAGE_SIZE,
    offset: Annotated[int, Query(ge=0, le=10**9, description="How many to leave out first.")] = 0,
) -> dict[str, Any]:
    """Entries of the organizations that one administers, newest first."""
    token = _token(request)
    if owner is not None:
        owners = [access.organization_for_token(token, owner)]
    else:
        owners = access.administered_by_token(token)
    found = (
        RegistryEntry.objects.filter(organization__in=owners)
        .defer("secrets")
        .prefetch_related("patterns__environment")
        .order_by("-created_at", "pk")
    )
    count = found.count()

    def page(at: int) -> str:
        asked = {"owner": owner} if owner is not None else {}
        query = urlencode(asked | {"limit": limit, "offset": at})
        return request.build_absolute_uri(f"{request.path}?{query}")

    return {
        "count": count,
        "next": page(offset + limit) if offset + limit < count else None,
        "previous": page(max(0, offset - limit)) if offset else None,
        "results": [_shown(entry) for entry in found[offset : offset + limit]],
    }


@router.post(
    "/",
    url_name="credentials",
    **_documented("create", "Create an entry", 201, schemas.Credentials, FIELDS),
)
def create(request: HttpRequest, given: schemas.CredentialsInput) -> Status:
    """As *Add a new entry* does, by the same rules. It counts from the next login on."""
    token = _token(request)
    organization = _owner(token, given.owner)
    made = door.entry_create(
        organization=organization,
        actor=person_actor(request, token, organization),
        spec=_spec(given, organization),
    )
    return Status(201, _shown(access.entry_in(organization, made.pk)))


@router.get(
    "/{uuid:entry_id}/",
    url_name="credential",
    **_documented("read", "Read an entry", 200, schemas.Credentials),
)
def read(request: HttpRequest, entry_id: EntryId) -> dict[str, Any]:
    """What may be shown of it, which is all but its secret."""
    return _shown(access.entry_for_token(_token(request), entry_id))


@router.put(
    "/{uuid:entry_id}/",
    url_name="credential",
    **_documented(
        "update", "Replace an entry", 200, schemas.Credentials, FIELDS, "changed_meanwhile"
    ),
)
def update(
    request: HttpRequest, entry_id: EntryId, given: schemas.CredentialsInput
) -> dict[str, Any]:
    """`configuration` is replaced, but a secret left out of it stays, as long as the username or
    key ID does; the rest stays where left out. Sent twice, it changes nothing more."""
    return _change(request, entry_id, given, keep_configuration=False)


@router.patch(
    "/{uuid:entry_id}/",
    url_name="credential",
    **_documented(
        "change", "Change an entry", 200, schemas.Credentials, FIELDS, "changed_meanwhile"
    ),
)
def change(
    request: HttpRequest, entry_id: EntryId, given: schemas.CredentialsChange
) -> dict[str, Any]:
    """Only what is given; the rest stays, within `configuration` too."""
    return _change(request, entry_id, given, keep_configuration=True)


@router.delete(
    "/{uuid:entry_id}/",
    url_name="credential",
    **_documented("delete", "Delete an entry", 204, None),
)
def delete(request: HttpRequest, entry_id: EntryId) -> Status:
    """Its secret is erased, and workers get no login from it any more."""
    token = _token(request)
    entry = access.entry_for_token(token, entry_id)
    door.entry_delete(entry=entry, actor=person_actor(request, token, entry.organization))
    return Status(204, None)


def _token(request: HttpRequest) -> ApiToken:
    return cast(ApiToken, request.auth)  # type: ignore[attr-defined]


def _owner(token: ApiToken, organization_id: int | None) -> Organization:
    """The one named, or the only one that the token's person administers."""
    if organization_id is not None:
        return access.organization_for_token(token, organization_id)
    administered = access.administered_by_token(token)
    if len(administered) != 1:
        raise Refused(
            Problem(
                "required",
                f"You administer {len(administered) or 'no'} organizations.",
                "Give the id of the one that the entry is for; /api/v0/me/ lists them.",
                "owner",
            )
        )
    return administered[0]


def _change(
    request: HttpRequest,
    entry_id: UUID,
    given: schemas.CredentialsChange,
    *,
    keep_configuration: bool,
) -> dict[str, Any]:
    token = _token(request)
    entry = access.entry_for_token(token, entry_id)
    organization = entry.organization
    if given.owner not in {None, organization.pk}:
        raise Refused(
            Problem(
                "owner_fixed",
                "An entry stays with its organization.",
                "Create one in the other organization, and delete this.",
                "owner",
            )
        )
    door.entry_update(
        entry=entry,
        actor=person_actor(request, token, organization),
        change=_asked(given, entry, whole=not keep_configuration),
    )
    return _shown(access.entry_in(organization, entry.pk))


def _spec(given: schemas.CredentialsInput, organization: Organization) -> EntrySpec:
    """A new entry as it is asked for."""
    config, secrets = _configuration(given.type, given.configuration or {})
    return EntrySpec(
        registry_type=given.type,
        patterns=_patterns(given) or [],
        config=config,
        secrets=secrets,
        environments=_environments(organization, given.environments) or [],
        enabled=given.enabled is not False,
        note=given.note or "",
        secret_expires_on=given.secret_expires_on,
    )


def _asked(given: schemas.CredentialsChange, entry: RegistryEntry, *, whole: bool) -> EntryChange:
    """The fields given, and no other; `whole` where configuration is replaced."""
    slug = given.type or entry.registry_type
    # What this server made for the entry may come back as it was answered, and as nothing else.
    own = assigned_to(entry) if slug == entry.registry_type else {}
    sent = given.configuration or {}
    sent = {name: value for name, value in sent.items() if own.get(name) != value or not value}
    config, secrets = _configuration(slug, sent)
    return EntryChange(
        registry_type=given.type or None,
        patterns=_patterns(given),
        config=config,
        secrets=secrets,
        environments=_environments(entry.organization, given.environments),
        enabled=given.enabled,
        note=given.note,
        secret_expires_on=given.secret_expires_on,
        whole=whole and given.configuration is not None,
        made_for=slug if given.configuration else "",
        made_from=given.updated_at,
    )


def _patterns(given: schemas.CredentialsChange) -> list[str] | None:
    """The whole set, or None where neither field has it."""
    one, several = given.image_pattern, given.image_patterns
    if one is None or several is None:
        return [one] if one is not None else several
    if [one] != several[:1]:
        raise Refused(
            Problem(
                "patterns_disagree",
                "image_pattern isn't the first of image_patterns.",
                "Give one of the two.",
                "patterns",
            )
        )
    return several


def _configuration(
    slug: str, given: Mapping[str, str | None]
) -> tuple[dict[str, str], dict[str, str]]:
    """(config, secrets) of the type; raises `Refused` for what it doesn't have."""
    registry_type = BY_SLUG.get(slug)
    if registry_type is None:  # the service says so
        return {}, {}
    values = {name: value for name, value in given.items() if value is not None}
    if values.pop("version", VERSION) != VERSION:
        what = "This server knows configuration of version 1 only."
        raise Refused(Problem("unknown_version", what, 'Give "version": "1".', "configuration"))
    known = {declared.name: declared for declared in registry_type.fields}
    if not values.keys() <= known.keys():
        raise Refused(
            Problem(
                "unknown_field",
                f"{registry_type.label} has other fields.",
                f"They are {', '.join(known)}.",
                "configuration",
            )
        )
    config = {name: value for name, value in values.items() if not known[name].secret}
    return config, {name: value for name, value in values.items() if known[name].secret}


def _environments(
    organization: Organization, slugs: Sequence[str] | None
) -> list[Environment] | None:
    """The organization's own of these; None where none are given. Raises `Refused`."""
    if slugs is None:
        return None
    own = {environment.slug: environment for environment in organization.environments.all()}
    if not set(slugs) <= own.keys():
        raise Refused(
            Problem(
                "environment_not_found",
                f"{organization} doesn't have all of these environments.",
                f"It has {', '.join(sorted(own)) or 'none'}.",
                "environments",
            )
        )
    return [own[slug] for slug in dict.fromkeys(slugs)]


def _shown(entry: RegistryEntry) -> dict[str, Any]:
    patterns = entry.pattern_texts
    return {
        "id": entry.pk,
        "type": entry.registry_type,
        "image_pattern": patterns[0] if patterns else "",
        "image_patterns": patterns,
        "owner": entry.organization_id,
        "enabled": entry.enabled,
        "environments": [environment.slug for environment in entry.environments],
        "note": entry.note,
        **({ends.NAME: entry.secret_expires_on} if entry.secret_expires_on else {}),
        "updated_at": entry.updated_at,
        "configuration": {"version": VERSION, **given_config(entry), **assigned_to(entry)},
        "trust": trusted_by(entry),
    }

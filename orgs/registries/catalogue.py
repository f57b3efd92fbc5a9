"""The registry types, in the order that people see. A new type is one line here.

Whoever needs to know of all types asks here, when they need it, and keeps no list.
"""

from collections.abc import ValuesView

from . import codes
from .aws_ecr import AwsEcr, AwsEcrRole
from .aws_ecr_keyless import AwsEcrAssumeRole, AwsEcrOidc
from .aws_ecr_public import AwsEcrPublic
from .azure_acr import AzureRegistry
from .azure_acr_oidc import AzureOidc
from .docker import DockerRegistry
from .google_cr import GoogleKey
from .google_cr_oidc import GoogleOidc
from .patterns import MatchPattern
from .types import Field, RegistryType

BY_SLUG: dict[str, RegistryType] = {
    kind.slug: kind
    for kind in (
        AwsEcr(),
        AwsEcrRole(),
        AwsEcrOidc(),
        AwsEcrAssumeRole(),
        AwsEcrPublic(),
        GoogleKey(),
        GoogleOidc(),
        AzureRegistry(),
        AzureOidc(),
        DockerRegistry(),
    )
}
TYPES: ValuesView[RegistryType] = BY_SLUG.values()


def first() -> RegistryType:
    """The one that a new entry begins with."""
    return next(iter(TYPES))


def groups() -> dict[str, list[RegistryType]]:
    """The types by what they stand under, both in the order that people see."""
    found: dict[str, list[RegistryType]] = {}
    for kind in TYPES:
        found.setdefault(kind.group, []).append(kind)
    return found


def takers(pattern: MatchPattern) -> list[RegistryType]:
    """The types whose entries may have the pattern, in the order that people see."""
    return [kind for kind in TYPES if not kind.refused_patterns([pattern])]


def fields_named(name: str, slug: str = "") -> list[Field]:
    """What types declare by this name: the one of `slug` first, if it does."""
    own = [kind for kind in TYPES if kind.slug == slug]
    others = [kind for kind in TYPES if kind.slug != slug]
    every = [f for kind in (*own, *others) for f in (*kind.fields, *kind.derived)]
    return [f for f in every if f.name == name]


def type_codes() -> dict[str, codes.Code]:
    """The types' own codes."""
    return {code: row for kind in TYPES for code, row in kind.codes.items()}


codes.also(type_codes)


def prepare() -> None:
    """Load what logins need; for a server to do as it starts."""
    for registry_type in TYPES:
        registry_type.prepare()

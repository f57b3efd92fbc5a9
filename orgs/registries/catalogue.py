"""The registry types, in the order that people see. A new type is one line here."""

from . import codes
from .aws_ecr import AwsEcr, AwsEcrRole
from .docker import DockerRegistry
from .types import RegistryType

TYPES: tuple[RegistryType, ...] = (AwsEcr(), AwsEcrRole(), DockerRegistry())

BY_SLUG = {registry_type.slug: registry_type for registry_type in TYPES}


def type_codes() -> dict[str, codes.Code]:
    """The types' own codes."""
    return {code: row for kind in BY_SLUG.values() for code, row in kind.codes.items()}


codes.also(type_codes)


def prepare() -> None:
    """Load what logins need; for a server to do as it starts."""
    for registry_type in TYPES:
        registry_type.prepare()

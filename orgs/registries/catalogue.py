"""The registry types, in the order that people see. A new type is one line here."""

from .aws_ecr import AwsEcr, AwsEcrRole
from .docker import DockerRegistry
from .types import RegistryType

TYPES: tuple[RegistryType, ...] = (AwsEcr(), AwsEcrRole(), DockerRegistry())

BY_SLUG = {registry_type.slug: registry_type for registry_type in TYPES}


def prepare() -> None:
    """Load what logins need; for a server to do as it starts."""
    for registry_type in TYPES:
        registry_type.prepare()

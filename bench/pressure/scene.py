"""What there is before a load: two organizations, their people, entries and tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
IMAGE = f"{HOST}/my-ml-image:v1.0"
PASSWORD = "correct horse battery"
FAILING = 500
EVENTS = 20_000
FURTHER_ADMINS = 8  # admin-0@theirs.example.com and so on: each has one preview at a time


@dataclass
class Side:
    """One organization; ids as text, for another process."""

    slug: str
    project: str
    entry: str
    token: str
    key_id: str
    secret: str

    @property
    def admin(self) -> str:
        return f"admin@{self.slug}.example.com"

    @property
    def member(self) -> str:
        return f"member@{self.slug}.example.com"


@dataclass
class Scene:
    """`ours` is measured, `theirs` is trouble."""

    ours: Side
    theirs: Side
    address: str = ""
    aws: str = ""
    failing: list[str] = field(default_factory=list)
    role_entry: str = ""

    @classmethod
    def of(cls, told: dict[str, Any]) -> Scene:
        sides = {name: Side(**told.pop(name)) for name in ("ours", "theirs")}
        return cls(**sides, **told)


def make(aws: Any) -> Scene:
    """Write it all to the database of the settings, which is migrated and empty."""
    scene = Scene(ours=_side(aws, "ours"), theirs=_side(aws, "theirs"), aws=aws.url)
    scene.role_entry = _entry("theirs", "role-of-workers/*", "aws-ecr-role", {"role_name": "Role"})
    bad = {"access_key_id": "AKIAIOSFODNN7UNKNOWN"}, {"secret_access_key": "x" * 40}
    scene.failing = [
        _entry("theirs", f"failing-{number}/*", "aws-ecr", *bad) for number in range(FAILING)
    ]
    for number in range(FURTHER_ADMINS):
        _admin("theirs", f"admin-{number}")
    _fill_audit_log()
    return scene


def _admin(slug: str, name: str) -> None:
    from orgs.models import Membership, Organization, User

    person = User.objects.create_user(f"{name}@{slug}.example.com", PASSWORD, name=name)
    organization = Organization.objects.get(slug=slug)
    Membership.objects.create(organization=organization, user=person, role=Membership.Role.ADMIN)


def _fill_audit_log() -> None:
    """Of `theirs`, so that its export has some megabytes."""
    from orgs.models import AuditEvent, Organization

    theirs = Organization.objects.get(slug="theirs")
    like = {"actor": "worker", "action": "login.issued", "organization_id": theirs.pk}
    AuditEvent.objects.bulk_create(
        AuditEvent(**like, organization="Theirs", project="first", subject=f"{IMAGE}-{number}")
        for number in range(EVENTS)
    )


def _side(aws: Any, slug: str) -> Side:
    from orgs.models import Membership, User
    from orgs.services.audit.events import COMMAND_LINE
    from orgs.services.tenancy import organizations, projects, tokens

    admin = User.objects.create_user(f"admin@{slug}.example.com", PASSWORD, name="Admin")
    member = User.objects.create_user(f"member@{slug}.example.com", PASSWORD, name="Member")
    organization = organizations.organization_create(
        name=slug.title(), slug=slug, admin=admin, actor=COMMAND_LINE
    )
    Membership.objects.create(organization=organization, user=member, role=Membership.Role.MEMBER)
    project = projects.project_create(name="first", organization=organization, actor=COMMAND_LINE)
    _, token = tokens.token_issue_worker(
        organization=organization, name="worker", actor=COMMAND_LINE
    )
    key_id, secret = aws.create_user(slug, aws.policy(repository="*"))
    aws.push("my-ml-image", "v1.0")
    entry = _entry(slug, "*", "aws-ecr", {"access_key_id": key_id}, {"secret_access_key": secret})
    return Side(slug, str(project.pk), entry, token, key_id, secret)


def _entry(slug: str, path: str, kind: str, config: Any, secrets: Any = None) -> str:
    from orgs.models import Organization
    from orgs.services.audit.events import COMMAND_LINE
    from orgs.services.entries import door
    from orgs.services.entries.validating import EntrySpec

    spec = EntrySpec(kind, [f"{HOST}/{path}"], config, secrets or {})
    organization = Organization.objects.get(slug=slug)
    made = door.entry_create(organization=organization, actor=COMMAND_LINE, spec=spec)
    return str(made.pk)

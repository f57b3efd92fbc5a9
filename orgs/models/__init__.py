"""Tables, their constraints, and querysets that carry the tenant in the query."""

from .audit import AppendOnly, AuditEvent, AuditEventQuerySet
from .counting import Repeat, Tally
from .entries import (
    CachedLogin,
    ImportDraft,
    IndexedPattern,
    RegistryEntry,
    RegistryEntryQuerySet,
    Verification,
    cached_login_context,
    entry_title,
)
from .health import Heartbeat
from .identity import Issuer, SigningKey
from .invitations import Invitation
from .notices import NoticeAddress
from .people import (
    Environment,
    FormerSlug,
    Membership,
    Organization,
    OrganizationQuerySet,
    Project,
    User,
    UserManager,
)
from .runs import Run, RunFile, RunRow
from .tokens import ApiToken, Token, WorkerToken

__all__ = [
    "ApiToken",
    "AppendOnly",
    "AuditEvent",
    "AuditEventQuerySet",
    "CachedLogin",
    "Environment",
    "FormerSlug",
    "Heartbeat",
    "ImportDraft",
    "IndexedPattern",
    "Invitation",
    "Issuer",
    "Membership",
    "NoticeAddress",
    "Organization",
    "OrganizationQuerySet",
    "Project",
    "RegistryEntry",
    "RegistryEntryQuerySet",
    "Repeat",
    "Run",
    "RunFile",
    "RunRow",
    "SigningKey",
    "Tally",
    "Token",
    "User",
    "UserManager",
    "Verification",
    "WorkerToken",
    "cached_login_context",
    "entry_title",
]

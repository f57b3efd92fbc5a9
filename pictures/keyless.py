"""Entries without a key whose other side is still to be set up: one of each cloud, and one that
AWS refused."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

from orgs.models import Organization, RegistryEntry
from orgs.registries.aws_roles import parse_role
from orgs.registries.aws_sts import _not_for_identity
from orgs.services.audit.events import Actor
from orgs.services.entries import door
from orgs.services.entries.status import status_mark
from orgs.services.entries.validating import EntrySpec

if TYPE_CHECKING:
    from .cast import Cast

_ACCOUNT = "345678901234"
_ROLE = f"arn:aws:iam::{_ACCOUNT}:role/ValohaiRegistries"
_ECR = f"{_ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"
_PROVIDER = "projects/123456789012/locations/global/workloadIdentityPools/valohai/providers/acme"
# name, type, patterns, config
_WAITING = (
    ("waits-aws", "aws-ecr-oidc", [f"{_ECR}/vision/*"], {"role_arn": _ROLE}),
    ("waits-refused", "aws-ecr-oidc", [f"{_ECR}/audio/*"], {"role_arn": _ROLE}),
    ("waits-role", "aws-ecr-assume-role", [f"{_ECR}/text/*"], {"role_arn": _ROLE}),
    (
        "waits-google",
        "gcp-cr-oidc",
        ["europe-north1-docker.pkg.dev/acme-ml/training/*"],
        {
            "workload_identity_provider": _PROVIDER,
            "service_account_email": "valohai-pull@acme-ml.iam.gserviceaccount.com",
        },
    ),
    (
        "waits-azure",
        "azure-acr-oidc",
        ["acmeml.azurecr.io/vision/*"],
        {
            "tenant_id": "8c1f2a4b-52a1-4f0b-9d7c-3f1e0a9b7c55",
            "client_id": "2b7d9c1e-6f3a-4a8e-b0d4-91c5e7f20a13",
        },
    ),
)


def fill(cast: Cast, acme: Organization, alice: Actor) -> None:
    for name, kind, patterns, config in _WAITING:
        spec = EntrySpec(kind, patterns, config, {})
        made = door.entry_create(organization=acme, actor=alice, spec=spec)
        cast.entries[name], cast.named[name] = made, made.pk


def wait(cast: Cast) -> None:
    """One has waited for longer than an entry should; of another AWS said why."""
    from .cast import refused

    rows = RegistryEntry.objects.filter(pk=cast.entries["waits-google"].pk)
    rows.update(created_at=timezone.now() - timedelta(days=3))
    role = parse_role(_ROLE)
    assert role is not None
    error = _not_for_identity(role)
    entry = cast.entries["waits-refused"]
    refused(entry, error)
    status_mark(entry, RegistryEntry.Status.FAILING, error)
    before = timezone.now() - timedelta(hours=3)
    RegistryEntry.objects.filter(pk=entry.pk).update(status_at=before)

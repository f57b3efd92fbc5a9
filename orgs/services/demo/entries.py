"""The demo organization's entries: one in every state that an entry can be in.

Written through the one door; what only a registry could have told is put into the rows, as
Verify would have left it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta

from django.db.models import F
from django.db.models.functions import Now

from orgs import sealed
from orgs.models import Environment, Organization, Project, RegistryEntry, Verification, WorkerToken
from orgs.registries.images import ImageReference
from orgs.registries.private import private
from orgs.registries.problems import Failed
from orgs.services.audit.events import Actor
from orgs.services.entries import door
from orgs.services.entries.status import status_mark
from orgs.services.entries.validating import EntrySpec
from orgs.services.verification import outcomes
from orgs.services.verification.verifying import Result, Step

# Account numbers, keys and hosts that documentation uses, and nobody has.
US = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
NORTH = "123456789012.dkr.ecr.eu-north-1.amazonaws.com"
SYDNEY = "123456789012.dkr.ecr.ap-southeast-2.amazonaws.com"
OREGON = "345678901234.dkr.ecr.us-west-2.amazonaws.com"
IRELAND = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
FRANKFURT = "567890123456.dkr.ecr.eu-central-1.amazonaws.com"
OTHER = "registry.example.com"
KEY_ID, DENIED_KEY_ID = "AKIAIOSFODNN7EXAMPLE", "AKIAI44QH8DHBEXAMPLE"
SECRET_FIELD = "secret_access_key"  # noqa: S105
Status = RegistryEntry.Status

DENIED = Failed(
    "access_denied",
    f"AWS accepts the key{private(f' {DENIED_KEY_ID}')}, but its user may not call "
    "ecr:GetAuthorizationToken.",
    "Attach the policy below to that user, wait a few seconds, and verify again.",
)
UNREADABLE = Failed(
    "entry_unusable",
    "The stored secret can't be opened with this server's keys.",
    "Enter the secret again, or ask staff to put the former key back last in FERNET_KEYS.",
)
ILL = Failed(
    "registry_unreachable",
    f"{OTHER} has a fault of its own (HTTP 503).",
    "Try again later; if it lasts, ask whoever runs it. Workers are likely to meet the same.",
)
SILENT = Failed(
    "registry_unreachable",
    f"{IRELAND} didn't answer in time.",
    "Try again in a few seconds; if it lasts, check this server's way to it. Workers pull from it "
    "by their own way, so they may still reach it.",
)


@dataclass(frozen=True)
class Wanted:
    """An entry to be made; `age` is how many days ago that was."""

    name: str
    patterns: tuple[str, ...]
    kind: str = "aws-ecr"
    config: Mapping[str, str] = field(default_factory=lambda: {"access_key_id": KEY_ID})
    sealed_field: str = SECRET_FIELD
    environments: tuple[str, ...] = ()  # slugs
    note: str = ""
    enabled: bool = True
    age: int = 60


_ROLE = {"role_name": "ValohaiWorkerRole"}
WANTED = (
    Wanted("disabled", (f"{US}/old-*",), note="Kept for last year's models.", enabled=False),
    Wanted("unverified", (f"{OREGON}/*",), note="Of the new account.", age=120),
    Wanted("on_workers", (f"{NORTH}/batch/*",), "aws-ecr-role", _ROLE, "", ("batch",)),
    Wanted("reported", (f"{NORTH}/speech/*",), "aws-ecr-role", _ROLE, "", ("gpu",)),
    Wanted("unreadable", (f"{FRANKFURT}/features/*",)),
    Wanted(
        "unreachable",
        (f"{OTHER}/vision/*", f"{OTHER}/tools/*"),
        "docker",
        {"username": "robot$pull"},
        "password",
    ),
    Wanted("silent", (f"{IRELAND}/serving/*", f"{IRELAND}/base/*")),
    Wanted("failing", (f"{SYDNEY}/team/*",), config={"access_key_id": DENIED_KEY_ID}),
    Wanted(
        "waiting",
        (f"{FRANKFURT}/models/*",),
        "aws-ecr-oidc",
        {"role_arn": "arn:aws:iam::567890123456:role/ValohaiRegistries"},
        "",
        age=2,
    ),
    Wanted("verified", (f"{US}/*",), note="Of the ML team; reads all repositories."),
)


def make(
    organization: Organization,
    environments: Mapping[str, Environment],
    actor: Actor,
    on_step: Callable[[], None],
) -> dict[str, RegistryEntry]:
    """All of `WANTED`, by name, each in its state but for what a worker has to report."""
    made = {}
    for wanted in WANTED:
        made[wanted.name] = _make(wanted, organization, environments, actor)
        on_step()
    _verified(made["verified"], f"{US}/vision/train:v3.2")
    _failing(made["failing"])
    used = "Nothing to obtain: the password is used as it is."
    _unreachable(made["unreachable"], Step("login", Result.NOT_CHECKED, what=used), ILL)
    _unreachable(made["silent"], Step("login", Result.OK), SILENT)
    _unreadable(made["unreadable"])
    return made


def _make(
    wanted: Wanted,
    organization: Organization,
    environments: Mapping[str, Environment],
    actor: Actor,
) -> RegistryEntry:
    # Of the right form, and nobody's: not even we keep it unsealed.
    value = {wanted.sealed_field: secrets.token_hex(20)} if wanted.sealed_field else {}
    spec = EntrySpec(
        wanted.kind,
        list(wanted.patterns),
        dict(wanted.config),
        value,
        environments=[environments[slug] for slug in wanted.environments],
        note=wanted.note,
        enabled=wanted.enabled,
    )
    entry = door.entry_create(organization=organization, actor=actor, spec=spec)
    entry.organization = organization
    aged = {"created_at": Now() - timedelta(days=wanted.age)}
    if value:
        aged["secrets_changed_at"] = aged["created_at"]
    RegistryEntry.objects.filter(pk=entry.pk).update(**aged)
    return entry


def reported(entry: RegistryEntry, token: WorkerToken, project: Project, actor: Actor) -> None:
    """A worker says that its role got in."""
    image = ImageReference.parse(f"{NORTH}/speech/train:v0.9")
    outcomes.outcome_report(
        entry=entry, token=token, project=project, image=image, code=outcomes.OK, actor=actor
    )


# --- states ---------------------------------------------------------------------


def _verified(entry: RegistryEntry, image: str) -> None:
    _kept(
        entry,
        [
            Step("login", Result.OK),
            Step("registry", Result.OK, what=f"{US} lets the login in."),
            Step("image", Result.OK, what=f"{image} can be pulled."),
        ],
        image,
    )
    status_mark(entry, Status.VERIFIED)
    _ago(entry, timedelta(hours=5))


def _failing(entry: RegistryEntry) -> None:
    _kept(
        entry,
        [
            Step("login", Result.FAILED, DENIED.code, DENIED.told, DENIED.fix),
            Step("registry", Result.NOT_CHECKED, what="It needs the login."),
            Step("image", Result.NOT_CHECKED, what="It needs the login."),
        ],
    )
    status_mark(entry, Status.FAILING, DENIED)
    _ago(entry, timedelta(days=6))


def _unreachable(entry: RegistryEntry, login: Step, error: Failed) -> None:
    failed = Step("registry", Result.FAILED, error.code, error.told, error.fix)
    last = Step("image", Result.NOT_CHECKED, what="It needs the registry.")
    _kept(entry, [login, failed, last])
    status_mark(entry, Status.UNREACHABLE, error)
    _ago(entry, timedelta(hours=3))


def _unreadable(entry: RegistryEntry) -> None:
    """Sealed for another row, so that no key opens it here, and re-sealing meets no trouble."""
    gone = sealed.seal("{}", "of a row that is gone")
    RegistryEntry.objects.filter(pk=entry.pk).update(secrets=gone)
    status_mark(entry, Status.UNREADABLE, UNREADABLE)
    _ago(entry, timedelta(days=2))


def _kept(entry: RegistryEntry, steps: list[Step], image: str = "") -> None:
    told = [asdict(step) for step in steps]
    Verification.objects.create(entry=entry, at=Now(), image=image, steps=told)


def _ago(entry: RegistryEntry, age: timedelta) -> None:
    """All that was found out just now, so long before."""
    rows = RegistryEntry.objects.filter(pk=entry.pk)
    rows.update(status_at=Now() - age)
    told = rows.exclude(failure_told_at=None)
    told.update(failure_told_at=F("status_at"), failure_mailed_at=None)
    Verification.objects.filter(entry=entry).update(at=Now() - age)

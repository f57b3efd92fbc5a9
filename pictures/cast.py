"""Who and what the pictures show: one organization with entries in every state.

Made by the product's own services, so that history, audit log and usage are true; only
ages, and what outside systems would have told, are put into the rows. Names and ids are
the same every time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_DNS, UUID, uuid5

import requests
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.db import models
from django.db.models import F
from django.db.models.functions import Now
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from orgs import sealed
from orgs.models import (
    ApiToken,
    AuditEvent,
    Environment,
    ImportDraft,
    Invitation,
    NoticeAddress,
    Organization,
    Project,
    RegistryEntry,
    Repeat,
    User,
    Verification,
    WorkerToken,
)
from orgs.registries.images import ImageReference
from orgs.registries.problems import Failed
from orgs.services.audit import repeats
from orgs.services.audit.events import COMMAND_LINE, Actor
from orgs.services.entries import door
from orgs.services.entries.status import status_mark
from orgs.services.entries.validating import EntrySpec
from orgs.services.logins import issuing
from orgs.services.runs import going
from orgs.services.tenancy import (
    attempts,
    invitations,
    links,
    notice_addresses,
    organizations,
    people,
    projects,
    tallies,
    tokens,
)
from orgs.services.tenancy.powers import SUPPORT
from orgs.services.verification import outcomes
from orgs.services.verification.verifying import Result, Step
from tests.support.fake_aws import AwsControl

from . import files, keyless, month, runs, second_steps
from .hosts import HOST, IMAGE, KEY_ID, NORTH, SECRET

# Made once, its key thrown away: pictures are the same each time.
AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBVzCB/aADAgECAgISZzAKBggqhkjOPQQDAjAqMRkwFwYDVQQDDBBBY21lIGlu
dGVybmFsIENBMQ0wCwYDVQQKDARBY21lMB4XDTI2MDEwMTAwMDAwMFoXDTQ2MDEw
MTAwMDAwMFowKjEZMBcGA1UEAwwQQWNtZSBpbnRlcm5hbCBDQTENMAsGA1UECgwE
QWNtZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABA4hEBc7cnjRtvlSORtfZyLT
K6Ri3zDz40bOAiuu0Fl+KVZCEltK4u1dyFjd5xGE7OzARqjZl7Yi4dHv0EjixsGj
EzARMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAKGP9CyAw6eq
RTPemqRPG9ZCod9PSY1u1Orq1QZxAhAwAiEAyWhYWhGuz+WA9pmguU3WE5Aa7Vep
zFQ8HW1mXuqrpPo=
-----END CERTIFICATE-----
"""
WORKER = "203.0.113.17"


@dataclass
class Cast:
    """What was made, by name; `arguments` fill in addresses."""

    people: dict[str, User]
    sessions: dict[str, str]
    entries: dict[str, RegistryEntry] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    held: going.Going | None = None
    named: dict[str, Any] = field(default_factory=dict)

    def address(self, name: str, **chosen: str) -> str:
        """The path of an address by its name; a text chosen stands for what is so named."""
        namespace, _, short = name.rpartition(":")
        resolver = get_resolver().namespace_dict[namespace][1] if namespace else get_resolver()
        wanted = resolver.reverse_dict.getlist(short)[0][0][0][1]
        given = self.arguments | {key: self.named.get(text, text) for key, text in chosen.items()}
        return reverse(name, kwargs={key: given[key] for key in wanted})


def address_names(resolver: URLResolver | None = None, before: str = "") -> Iterator[str]:
    """The name, with its namespace, of every address."""
    for pattern in (resolver or get_resolver()).url_patterns:
        if isinstance(pattern, URLPattern):
            yield f"{before}{pattern.name}"
        else:
            yield from address_names(
                pattern, f"{before}{pattern.namespace}:" if pattern.namespace else before
            )


def fill(aws: AwsControl) -> Cast:
    """Make everything in the database at hand; the settings must lead to this fake AWS."""
    with ExitStack() as numbers:
        for model in (Project, RegistryEntry, ImportDraft, Invitation):
            numbers.enter_context(numbered(model))
        numbers.enter_context(numbered(Organization, "uuid"))
        cast = _people()
        acme, alice = _organizations(cast)
        _entries(cast, acme, alice, aws)
        keyless.fill(cast, acme, alice)
        _tokens(cast, acme, alice)
        _happenings(cast, acme)
        files.fill(cast, acme)
        runs.fill(cast, acme)
        _notices(acme, alice)
    _hours_ago(3)
    keyless.wait(cast)
    cast.named["acme-id"] = acme.pk
    cast.named["support-id"] = Group.objects.get(name=SUPPORT).pk
    cast.named["event-id"] = AuditEvent.objects.filter(action="entry.created").latest("pk").pk
    return cast


def _hours_ago(hours: int) -> None:
    """Make all that happened so long ago: what is told of it stays the same for as long as
    taking pictures lasts."""
    by = timedelta(hours=hours)
    times = ("status_at", "created_at", "secrets_changed_at", "last_used_at")
    RegistryEntry.objects.update(**{name: F(name) - by for name in times})
    # Events can't be changed by the product's own means.
    models.QuerySet(AuditEvent).update(at=F("at") - by)


@contextmanager
def numbered(model: type[models.Model], name: str = "id") -> Iterator[None]:
    """New rows get ids that are the same in every run."""
    made = iter(range(10**6))
    key = model._meta.get_field(name)
    before = key.__dict__.get("_get_default")

    def following() -> UUID:
        return uuid5(NAMESPACE_DNS, f"{model.__name__}-{next(made)}.example.com")

    key.__dict__["_get_default"] = following  # what Django has cached of `default`
    try:
        yield
    finally:
        del key.__dict__["_get_default"]
        if before is not None:
            key.__dict__["_get_default"] = before


def same_keys(aws: AwsControl) -> None:
    """Have a fresh fake AWS hand out the same keys in every run."""
    seeding = requests.Session()
    seeding.trust_env = False  # loopback, whatever the proxy variables say
    seeding.post(f"{aws.url}/moto-api/seed?a=7", timeout=10).raise_for_status()


# --- people and organizations ---------------------------------------------------


def _people() -> Cast:
    names = {
        "alice": "Alice",
        "bob": "Bob",
        "erin": "Erin",
        "nina": "Nina",
        "dora": "Dora",
        "tess": "Tess",
    }
    encoded = make_password(SECRET)
    made = {
        key: people.person_create(
            email=f"{key}@example.com", name=name, actor=COMMAND_LINE, encoded=encoded
        )
        for key, name in names.items()
    }
    made["staff"] = User.objects.create_superuser("staff@example.com", name="Stella")
    User.objects.filter(email="bob@example.com").update(time_zone="Europe/Helsinki")
    cast = Cast(made, {key: second_steps.session(user) for key, user in made.items()})
    cast.sessions["tess-midway"] = second_steps.midway(made["tess"])
    cast.named["tess-passkey"] = second_steps.set_up(made["tess"]).pk
    return cast


def _organizations(cast: Cast) -> tuple[Organization, Actor]:
    who = cast.people
    acme = organizations.organization_create(name="Acme", admin=who["alice"], actor=COMMAND_LINE)
    alice = Actor.person(who["alice"], acme, "198.51.100.4")
    for key, role in (("erin", "admin"), ("bob", "member"), ("nina", "member"), ("tess", "member")):
        organizations.member_add(organization=acme, user=who[key], role=role, actor=alice)
    organizations.organization_create(name="Umbrella", admin=who["nina"], actor=COMMAND_LINE)
    made = {
        slug: organizations.environment_create(organization=acme, name=name, slug=slug, actor=alice)
        for slug, name in (("gpu", "GPU, Oulu"), ("cpu", "CPU"), ("spare", "Spare"))
    }
    own = {
        name: projects.project_create(name=name, organization=acme, actor=alice)
        for name in ("image-classifier", "churn-model", "old-experiments")
    }
    projects.project_archive(project=own["old-experiments"], actor=alice)
    own["nina-sandbox"] = projects.project_create(
        name="nina-sandbox", user=who["nina"], actor=COMMAND_LINE
    )
    _invitations(cast, acme, alice)
    link = people.person_link(person=who["dora"], actor=COMMAND_LINE).rstrip("/").split("/")
    cast.named |= made | own | {key: user.pk for key, user in who.items()}
    cast.named["gpu-id"], cast.named["spare-id"] = made["gpu"].pk, made["spare"].pk
    cast.named |= {f"{name}-id": project.pk for name, project in own.items()}
    cast.named["token-of-dora"] = link[-1]
    cast.named["membership-of-bob"] = acme.memberships.get(user=who["bob"]).pk
    cast.named["email-of-bob"] = links.email_token(who["bob"], "bob@team.example.com")
    cast.arguments = {
        "slug": acme.slug,
        "organization_id": acme.pk,
        "environment_id": made["spare"].pk,
        "project_id": own["image-classifier"].pk,
        "membership_id": cast.named["membership-of-bob"],
        "uidb64": link[-2],
        "token": link[-1],
        "page": "workers",
        "person_id": who["bob"].pk,
        "app_label": "orgs",
        "pk": cast.named["tess-passkey"],
    }
    return acme, alice


def _invitations(cast: Cast, acme: Organization, alice: Actor) -> None:
    """One of each kind: for somebody new, for one with an account, and one that is over."""
    for name, role in (("late", "member"), ("ida", "member"), ("dora", "admin")):
        (made,) = invitations.invite(
            organization=acme, emails=[f"{name}@example.com"], role=role, actor=alice
        )
        cast.named[f"invitation-of-{name}"] = invitations.token(made)
    Invitation.objects.filter(email="late@example.com").update(
        expires_at=Now() - timedelta(days=2), sent_at=Now() - timedelta(days=9)
    )


def _notices(acme: Organization, alice: Actor) -> None:
    """Set last: of what happened before, nothing is posted, nor tried for a minute."""
    notice_addresses.address_set(
        organization=acme, actor=alice, kind="webhook",
        address="https://chat.example.com/hooks/registries-of-acme",
    )  # fmt: skip
    NoticeAddress.objects.update(
        failed_at=Now(), failure="chat.example.com answered 404: no_service"
    )


# --- entries --------------------------------------------------------------------


def _entries(cast: Cast, acme: Organization, alice: Actor, aws: AwsControl) -> None:
    wide = aws.policy(repository="*")
    key_id, secret = aws.create_user("valohai-ecr", wide)
    cast.named |= {"key-id": key_id, "secret": secret}
    for days, repository in enumerate(("my-ml-image", "churn/train", "churn/serve", "tools")):
        pushed = (timezone.now() - timedelta(days=3 + 9 * days)).timestamp()
        aws.push(repository, "v1.0", pushed_at=pushed, size=412_000_000 + days * 7_000_000)
        aws.push(repository, "v1.1", "latest", pushed_at=pushed + 86_400, size=418_000_000)
    bare_id, bare_secret = aws.create_user("without-policy")
    gpu: Environment = cast.named["gpu"]

    def add(
        name: str,
        patterns: list[str],
        kind: str = "aws-ecr",
        config: dict[str, str] | None = None,
        secrets: dict[str, str] | None = None,
        **rest: Any,
    ) -> RegistryEntry:
        of_kind: dict[str, tuple[dict[str, str], dict[str, str]]] = {
            "aws-ecr": ({"access_key_id": KEY_ID}, {"secret_access_key": SECRET}),
            "aws-ecr-role": ({"role_name": "ValohaiWorkerRole"}, {}),
            "docker": (
                {"username": "robot$pull", "ca_certificate": AUTHORITY},
                {"password": SECRET},
            ),
        }
        config = of_kind[kind][0] if config is None else config
        secrets = of_kind[kind][1] if secrets is None else secrets
        spec = EntrySpec(kind, patterns, config, secrets, **rest)
        made = door.entry_create(organization=acme, actor=alice, spec=spec)
        cast.entries[name] = made
        return made

    def key(given_id: str, given_secret: str) -> dict[str, dict[str, str]]:
        return {
            "config": {"access_key_id": given_id},
            "secrets": {"secret_access_key": given_secret},
        }

    add("disabled", [f"{HOST}/old-*"], note="Kept for the 2023 models", enabled=False)
    several = [f"{HOST}/speech-recognition/nightly-builds/experimental/*", f"{HOST}/speech-*"]
    add("several", [*several, "123456789012.dkr.ecr.us-east-1.amazonaws.com/asr/*"])
    add("docker", ["registry.example.com/vision/*"], "docker")
    add("unverified", ["345678901234.dkr.ecr.us-west-2.amazonaws.com/*"])
    add("reported", [f"{NORTH}/*"], "aws-ecr-role")
    add("role", ["210987654321.dkr.ecr.eu-west-1.amazonaws.com/train/*"], "aws-ecr-role",
        environments=[gpu])  # fmt: skip
    add("unreadable", ["567890123456.dkr.ecr.eu-central-1.amazonaws.com/*"])
    denied = ["123456789012.dkr.ecr.ap-southeast-2.amazonaws.com/team/*"]
    add("denied", denied, **key(bare_id, bare_secret))
    add("good", [f"{HOST}/*"], **key(key_id, secret), note="Of the ML team; made by Alice in IAM.")

    old = timezone.now() - timedelta(days=120)
    rows = RegistryEntry.objects.filter(pk=cast.entries["unverified"].pk)
    rows.update(created_at=old, secrets_changed_at=old)
    gone = sealed.seal("{}", "of a row that is gone")
    RegistryEntry.objects.filter(pk=cast.entries["unreadable"].pk).update(secrets=gone)
    verified(cast.entries["good"], IMAGE)
    used = Step(
        "login", Result.NOT_CHECKED, what="Nothing to obtain: the password is used as it is."
    )
    ill = "registry.example.com has a fault of its own (HTTP 503)."
    hit = "Try again later; if it lasts, ask whoever runs it. Workers are likely to meet the same."
    _unreachable(cast.entries["docker"], used, ill, hit)
    silent = f"{HOST} didn't answer in time."
    way = (
        "Try again in a few seconds; if it lasts, check this server's way to it. Workers pull from "
    )
    way += "it by their own way, so they may still reach it."
    _unreachable(cast.entries["several"], Step("login", Result.OK), silent, way)
    cast.arguments["entry_id"] = cast.entries["good"].pk
    cast.named |= {name: made.pk for name, made in cast.entries.items()}


def verified(entry: RegistryEntry, image: str) -> None:
    """As Verify would have left it, had there been a registry to ask."""
    steps = (
        ("login", ""),
        ("registry", f"{image.partition('/')[0]} lets the login in."),
        ("image", f"{image} can be pulled."),
    )
    told = [asdict(Step(name, Result.OK, what=what)) for name, what in steps]
    Verification.objects.create(entry=entry, at=timezone.now(), image=image, steps=told)
    status_mark(entry, RegistryEntry.Status.VERIFIED)


def _unreachable(entry: RegistryEntry, login: Step, what: str, fix: str) -> None:
    """As Verify would have left it where the registry didn't answer."""
    failed = Step("registry", Result.FAILED, "registry_unreachable", what, fix)
    last = Step("image", Result.NOT_CHECKED, what="It needs the registry.")
    told = [asdict(step) for step in (login, failed, last)]
    Verification.objects.create(entry=entry, at=timezone.now(), steps=told)
    error = Failed("registry_unreachable", what, fix)
    status_mark(entry, RegistryEntry.Status.UNREACHABLE, error)


def refused(entry: RegistryEntry, error: Failed) -> None:
    """As Verify would have left it after the same refusal."""
    steps = [
        Step("login", Result.FAILED, error.code, error.told, error.fix),
        Step("registry", Result.NOT_CHECKED, what="It needs the login."),
        Step("image", Result.NOT_CHECKED, what="It needs the login."),
    ]
    told = [asdict(step) for step in steps]
    Verification.objects.create(entry=entry, at=timezone.now(), steps=told)


# --- tokens, logins ---------------------------------------------------------------


def _tokens(cast: Cast, acme: Organization, alice: Actor) -> None:
    gpu: Environment = cast.named["gpu"]
    for name, environment, days in (
        ("gpu workers, Oulu", gpu, None),
        ("batch workers", None, 9),
        ("new workers", None, 365),
    ):
        token, _ = tokens.token_issue_worker(
            organization=acme,
            name=name,
            actor=alice,
            environment=environment,
            expires_in=timedelta(days=days) if days else None,
            once=name,
        )
        cast.named[name] = token.pk
    token, _ = tokens.token_issue_api(
        user=cast.people["alice"], name="terraform", actor=alice, organization=acme, once="1"
    )
    cast.arguments |= {"token_id": cast.named["new workers"], "api_token_id": token.pk}
    ApiToken.objects.filter(pk=token.pk).update(last_used_at=timezone.now() - timedelta(hours=5))


def _happenings(cast: Cast, acme: Organization) -> None:
    """Logins given and refused, as workers ask for them."""
    gpu: Environment = cast.named["gpu"]
    token = WorkerToken.objects.get(name="gpu workers, Oulu")
    tokens.mark_used(token, WORKER)
    worker = Actor(f"token {token.name}", source_address=WORKER, token=token.begins_with)
    classifier: Project = cast.named["image-classifier"]
    churn: Project = cast.named["churn-model"]
    month.fill(cast.entries["good"], cast.entries["denied"], classifier, worker, HOST)
    asked = [
        (classifier, IMAGE),
        (classifier, f"{HOST}/my-ml-image:v1.1"),
        (churn, f"{HOST}/churn/train:v1.0"),
        (churn, "999999999999.dkr.ecr.us-east-1.amazonaws.com/report:v2"),
        (classifier, "123456789012.dkr.ecr.ap-southeast-2.amazonaws.com/team/segment:v3"),
        (churn, "567890123456.dkr.ecr.eu-central-1.amazonaws.com/features:v1"),
    ]
    for project, text in asked:
        image = ImageReference.parse(text)
        try:
            issuing.login_for(project=project, image=image, actor=worker, environment=gpu)
        except Failed as error:
            if error.code == "access_denied":
                refused(cast.entries["denied"], error)
    _over_and_over(churn, worker)
    reports = (("role", "train/segment:v1", "role_not_attached"), ("reported", "tool:v2", "ok"))
    for name, path, code in reports:
        entry = cast.entries[name]
        host = entry.pattern_texts[0].partition("/")[0]
        outcomes.outcome_report(
            entry=entry,
            token=token,
            project=classifier,
            image=ImageReference.parse(f"{host}/{path}"),
            code=code,
            actor=worker,
        )


def _over_and_over(project: Project, worker: Actor) -> None:
    """A login that is refused again and again, and an account that is paused."""
    image = ImageReference.parse("999999999999.dkr.ecr.us-east-1.amazonaws.com/report:v1")
    for _ in range(5):
        with suppress(Failed):
            issuing.login_for(project=project, image=image, actor=worker)
    Repeat.objects.update(until=Now())
    repeats.write_due()
    paused = attempts.account_of("paused@example.com")
    tallies.prepare([attempts.ACCOUNT.key(paused)])
    for _ in range(attempts.ACCOUNT.most):
        tallies.take(attempts.ACCOUNT, paused)

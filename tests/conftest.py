"""The cast, fixed for every test: alice owns, bob is a member, charlie a stranger."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from django.conf import settings
from django.core.management.commands import flush
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from orgs.models import (
    Environment,
    Membership,
    Organization,
    Project,
    RegistryEntry,
    Run,
    User,
)
from orgs.registries.places import Places
from orgs.seen import logs
from orgs.services.audit.events import Actor
from orgs.services.bulk import long_work
from orgs.services.entries import daily, door
from orgs.services.entries.changing import EntryChange
from orgs.services.entries.validating import EntrySpec
from orgs.services.identity import documents
from orgs.services.logins import minting
from orgs.services.runs import going, runner
from orgs.services.tenancy import mails, webhooks
from orgs.services.upstream import calls
from tests.support import issuer as published
from tests.support.fake_aws import FakeAws
from tests.support.fake_azure import FakeAzure
from tests.support.fake_google import FakeGoogle
from tests.support.internet import Internet
from tests.support.registry import Registry
from valohai_registries.long_work import WORK

PASSWORD = "correct horse battery"
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
CANARY = "CANARYcanary0123456789/+canaryCANARY9876"


# What takes longest; the rest of the files take seconds.
LONG = {
    *("browser", "real", "test_broken_rows.py", "test_first_start.py", "test_fuzz.py"),
    *("test_hostile_files.py", "test_properties.py", "test_signing_in.py", "test_slow_aws.py"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`once` runs with SQLite only, `postgresql` with PostgreSQL only; what takes longest
    comes first, so that no process is left with it at the end (in the Makefile,
    `--no-loadscope-reorder`, or the files with the most tests would)."""
    on_postgresql = settings.DATABASES["default"]["ENGINE"].endswith("postgresql")
    unwanted = "once" if on_postgresql else "postgresql"
    items[:] = [item for item in items if not item.get_closest_marker(unwanted)]
    items.sort(key=lambda item: LONG.isdisjoint(item.path.parts))


def pytest_collection_finish() -> None:
    """What stands until the end is looked through no more for what can be dropped, and the
    rest less often: that took a sixth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(autouse=True, scope="session")
def _what_migrating_made_stays() -> Iterator[None]:
    """Emptying the tables leaves content types, permissions and groups, which never change.

    Made again, as Django does, they took most of the time of a test with transactions.
    """
    stays = {
        *("django_content_type", "auth_permission"),
        *("auth_group", "auth_group_permissions"),
    }

    def emptying(style: Any, connection: BaseDatabaseWrapper, **rest: bool) -> list[str]:
        names = connection.introspection.django_table_names(only_existing=True, include_views=False)
        return connection.ops.sql_flush(style, [n for n in names if n not in stays], **rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "sql_flush", emptying)
        patch.setattr(flush, "emit_post_migrate_signal", lambda *args, **rest: None)
        yield


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    yield
    minting.background.drain()
    mails.drain()
    webhooks.drain()


@pytest.fixture(autouse=True)
def _nothing_of_another_test() -> None:
    daily.forget()
    logs.end()  # an answer that no one read to its end is answered still


@pytest.fixture(autouse=True)
def _every_place_given_back() -> Iterator[None]:
    """Places are the process's, and the next test's organization may have this one's id."""
    yield
    if taken := [places for places in _every_kind_of_place() if places.taken_now()]:
        gc.collect()  # an answer that a test didn't read to its end
        deadline = time.monotonic() + 20  # or a call that a test let hang
        while any(places.taken_now() for places in taken):
            assert time.monotonic() < deadline, "A place was taken and not given back."
            time.sleep(0.05)


@cache
def _every_kind_of_place() -> list[Places]:
    modules = [module for name, module in sys.modules.items() if name.startswith("orgs.")]
    return [each for module in modules for each in vars(module).values() if type(each) is Places]


def make_user(email: str, name: str, **extra: object) -> User:
    return User.objects.create_user(email, PASSWORD, name=name, **extra)


def run_all() -> None:
    """Do what runs there are, as a server's thread would."""
    while (run := going.due().first()) is not None:
        held = going.take(run)
        assert held is not None
        runner.do(held, WORK)


def exported(organization: Organization, actor: Actor) -> Run:
    """A run that is over, with a file of all entries."""
    ids = [entry.pk for entry in organization.entries.all()]
    run, _ = long_work.begin_export(organization=organization, ids=ids, format="csv", actor=actor)
    run_all()
    return run


@pytest.fixture
def acme(db: None) -> Organization:
    return Organization.objects.create(name="Acme", slug="acme")


@pytest.fixture
def umbrella(db: None) -> Organization:
    return Organization.objects.create(name="Umbrella", slug="umbrella")


@pytest.fixture
def alice(acme: Organization) -> User:
    """Org admin of Acme."""
    user = make_user("alice@example.com", "Alice")
    Membership.objects.create(organization=acme, user=user, role="admin")
    return user


@pytest.fixture
def bob(acme: Organization) -> User:
    """Member of Acme."""
    user = make_user("bob@example.com", "Bob")
    Membership.objects.create(organization=acme, user=user, role="member")
    return user


@pytest.fixture
def charlie(umbrella: Organization) -> User:
    """A stranger to Acme, admin of Umbrella."""
    user = make_user("charlie@example.com", "Charlie")
    Membership.objects.create(organization=umbrella, user=user, role="admin")
    return user


@pytest.fixture
def staff(db: None) -> User:
    """Staff, member of none."""
    return make_user("staff@example.com", "Stella", is_staff=True, is_superuser=True)


@pytest.fixture
def project(acme: Organization) -> Project:
    return Project.objects.create(name="first-project", organization=acme)


@pytest.fixture
def gpu(acme: Organization) -> Environment:
    return Environment.objects.create(organization=acme, name="GPU", slug="gpu")


@pytest.fixture
def actor() -> Actor:
    return Actor("tests")


@pytest.fixture
def make_entry(acme: Organization, actor: Actor) -> Callable[..., RegistryEntry]:
    """Through the one door, with sensible defaults for what isn't given."""

    def make(
        pattern: str | list[str] = f"{HOST}/*",
        *,
        organization: Organization = acme,
        registry_type: str = "aws-ecr",
        config: dict[str, str] | None = None,
        secrets: dict[str, str] | None = None,
        **rest: object,
    ) -> RegistryEntry:
        defaults = {
            "aws-ecr": ({"access_key_id": "AKIAIOSFODNN7EXAMPLE"}, {"secret_access_key": CANARY}),
            "aws-ecr-role": ({"role_name": "ValohaiWorkerRole"}, {}),
        }
        default_config, default_secrets = defaults.get(registry_type, ({}, {}))
        spec = EntrySpec(
            registry_type=registry_type,
            patterns=[pattern] if isinstance(pattern, str) else pattern,
            config=default_config if config is None else config,
            secrets=default_secrets if secrets is None else secrets,
            **rest,
        )
        return door.entry_create(organization=organization, actor=actor, spec=spec)

    return make


def changed_to(spec: EntrySpec) -> EntryChange:
    """The change that leaves nothing as it stands, but for a secret that is left out."""
    return EntryChange(
        registry_type=spec.registry_type,
        patterns=spec.patterns,
        config=spec.config,
        secrets=spec.secrets,
        environments=spec.environments,
        enabled=spec.enabled,
        note=spec.note,
        secret_expires_on=spec.secret_expires_on,
        whole=True,
    )


@pytest.fixture
def aws(settings) -> Iterator[FakeAws]:
    """A fake AWS that checks signatures and policies; the product is pointed at it."""
    with FakeAws() as fake:
        settings.AWS_ENDPOINT_URL = fake.url
        yield fake


@pytest.fixture
def issuer(settings) -> Iterator[str]:
    """The name that clouds know this server by; gives where its documents really answer."""
    settings.BASE_URL, settings.OIDC_ISSUER = published.NAME, ""
    documents.held.forget()
    with published.published() as url:
        yield url
    documents.held.forget()


@pytest.fixture
def trusting_aws(aws: FakeAws, issuer: str) -> FakeAws:
    """The fake AWS, which finds this server's documents."""
    aws.roles.relying.addresses[published.NAME] = issuer
    return aws


@pytest.fixture
def google(settings) -> Iterator[FakeGoogle]:
    """A fake Google that checks assertions; the product is pointed at it."""
    with FakeGoogle() as fake:
        settings.GOOGLE_ENDPOINT_URL = fake.url
        yield fake


@pytest.fixture
def azure(settings) -> Iterator[FakeAzure]:
    """A fake Azure that checks secrets and access tokens; the product is pointed at it."""
    with FakeAzure() as fake:
        settings.AZURE_ENDPOINT_URL = fake.url
        yield fake


@pytest.fixture
def internet(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Internet]:
    """Names of registries that lead to servers of the test's, or where it says."""
    with Internet(tmp_path_factory.mktemp("internet"), monkeypatch) as internet:
        yield internet


@pytest.fixture
def ecr(aws: FakeAws, internet: Internet, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A real registry under `HOST`, letting in whom the fake AWS gave a login; in it
    `my-ml-image:v1.0`."""
    with Registry(HOST) as registry:
        registry.push("my-ml-image", "v1.0")
        aws.on_token(lambda password: registry.allow("AWS", password))
        # Its name may lead to a private address, as a VPC endpoint's does; not to loopback.
        internet.name(HOST, ["10.20.30.40"])
        internet.route("10.20.30.40", 443, (registry.address, 443))
        monkeypatch.setenv("SSL_CERT_FILE", str(registry.ca_file))
        yield registry


@pytest.fixture
def artifact_registry(
    google: FakeGoogle, internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Registry]:
    """A real registry under a host of Google's, letting in whom the fake Google gave a token;
    in it `my-project/my-repo/train:v1`."""
    host = "europe-west1-docker.pkg.dev"
    with Registry(host, tokens=True) as registry:
        registry.push("my-project/my-repo/train", "v1")
        google.on_token = lambda token: registry.allow("oauth2accesstoken", token)
        internet.name(host, ["10.20.30.40"])  # as behind Private Service Connect
        internet.route("10.20.30.40", 443, (registry.address, 443))
        monkeypatch.setenv("SSL_CERT_FILE", str(registry.ca_file))
        yield registry


@pytest.fixture
def new_keys_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """No AWS is asked whether a key that replaces another works: it does."""
    monkeypatch.setattr(calls, "try_credentials", lambda *args: None)


@pytest.fixture
def on_postgresql() -> bool:
    return connection.vendor == "postgresql"

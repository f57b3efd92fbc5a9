"""How many queries each address takes, with so many rows and with twice as many.

`query_counts.json` is compared exactly. After a change that is meant, renew it and look at
what differs:

    RENEW_QUERY_COUNTS=1 .venv/bin/python -m pytest tests/test_query_counts.py
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver, reverse
from django.utils import timezone

from orgs.models import (
    Environment,
    Invitation,
    Membership,
    Organization,
    Project,
    RegistryEntry,
    User,
    WorkerToken,
)
from orgs.registries.images import ImageReference
from orgs.services.audit.events import Actor
from orgs.services.bulk import drafts
from orgs.services.logins import health, issuing
from orgs.services.tenancy import invitations, tokens
from tests.api.conftest import Api
from tests.conftest import HOST, exported, make_user
from tests.test_access import addresses, own

pytestmark = pytest.mark.django_db

FILE = Path(__file__).with_name("query_counts.json")
RENEW = "RENEW_QUERY_COUNTS"
N = 6
# Address: why it may take more with more rows.
GROWS: dict[str, str] = {}
API = {
    "GET api:me": "/api/v0/me/",
    "GET api:openapi-json": "/api/v0/openapi.json",
    "GET api:api-root": "/api/v0/",
    "GET api:nowhere": "/api/v0/nowhere",
    "GET api:credentials": "/api/v0/registry-credentials/",
    "GET api:credential": "/api/v0/registry-credentials/{entry_id}/",
    "PATCH api:credential": "/api/v0/registry-credentials/{entry_id}/",
    "PUT api:credential": "/api/v0/registry-credentials/{entry_id}/",
    "POST api:docker_login": "/api/v0/docker-login/",
    "POST api:credentials": "/api/v0/registry-credentials/",
    "POST api:docker_login_outcome": "/api/v0/docker-login/outcome/",
}
# Pages with filters: name, query.
FILTERED = [
    ("registries", "?sort=pattern&status=failing&environment=e0&q=a"),
    ("staff", "?q=ac"),
    ("audit", "?action=entry.created&since=7"),
    ("admin:orgs_registryentry_changelist", "?q=app+aki"),
    ("admin:orgs_registryentry_changelist", "?organization={owner}&enabled__exact=1"),
    ("admin:orgs_organization_changelist", "?q=a"),
    ("admin:orgs_membership_changelist", "?q=a"),
]


@pytest.fixture
def more(acme, alice, actor, make_entry) -> Callable[[int], None]:
    """So many more of everything that a page may list, entries first to last alike."""

    def add(first: int) -> None:
        old = timezone.now() - timedelta(days=99)
        for n in range(first, first + N):
            gpu = Environment.objects.create(organization=acme, name=f"e{n}", slug=f"e{n}")
            entry = make_entry([f"{HOST}/a{n}/*", f"{HOST}/b{n}/*"], environments=[gpu])
            # What needs attention is listed on home pages.
            broken = {"status": "failing", "status_at": old, "created_at": old}
            RegistryEntry.objects.filter(pk=entry.pk).update(**broken)
            project = Project.objects.create(name=f"p{n}", organization=acme)
            issuing.login_for(
                project=project, image=ImageReference.parse(f"{HOST}/role/x"), actor=actor
            )
            user = make_user(f"u{n}@example.com", f"U{n}")
            Membership.objects.create(organization=acme, user=user, role="member")
            _invite(acme, alice, f"i{n}@example.com")
            tokens.token_issue_worker(organization=acme, name=f"w{n}", actor=actor)
            tokens.token_issue_api(user=alice, name=f"t{n}", actor=actor)
            other = Organization.objects.create(name=f"O{n}", slug=f"o{n}")
            Membership.objects.create(organization=other, user=alice, role="member")

    return add


def _invite(acme: Organization, alice: User, email: str) -> Invitation:
    by = Actor("alice", alice)
    (made,) = invitations.invite(organization=acme, emails=[email], role="member", actor=by)
    return made


@pytest.fixture
def named(acme, alice, bob, actor, gpu, project, make_entry) -> dict[str, Any]:
    """Values for whatever an address may ask for."""
    role = make_entry(f"{HOST}/role/*", registry_type="aws-ecr-role")
    issuing.login_for(project=project, image=ImageReference.parse(f"{HOST}/role/x"), actor=actor)
    content = b"image_pattern,type,role_name\n" + f"{HOST}/new/*,aws-ecr-role,Worker\n".encode()
    return {
        # one that needs nothing outside to be shown
        "entry_id": role.pk,
        "environment_id": gpu.pk,
        "token_id": tokens.token_issue_worker(organization=acme, name="w", actor=actor)[0].pk,
        "api_token_id": tokens.token_issue_api(user=alice, name="mine", actor=actor)[0].pk,
        "slug": acme.slug,
        "owner": acme.pk,
        "page": "workers",
        "draft_id": drafts.draft_store(
            organization=acme, user=alice, file_name="f.csv", format="csv", content=content,
            update=False,
        ).pk,
        "run_id": exported(acme, actor).pk,
        "uidb64": "MQ",
        "token": "abc-def",
        "key": 1,
        "pk": 1,
        "kind": "oidc",
        "app_label": "orgs",
        "project_id": project.pk,
        "membership_id": bob.memberships.get().pk,
        "invitation_id": _invite(acme, alice, "new@example.com").pk,
    }  # fmt: skip


def page_addresses(named: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(name, address) of every page of the web and the admin."""
    for name in own():
        wanted = get_resolver().reverse_dict.getlist(name)[0][0][0][1]
        yield f"GET {name}", reverse(name, kwargs={key: named[key] for key in wanted})
    resolver = get_resolver().namespace_dict["admin"][1]
    for name in sorted({n for n, _ in addresses() if n.startswith("admin:")}):
        short = name.removeprefix("admin:")
        possible = resolver.reverse_dict.getlist(short)
        for number, one in enumerate(possible, 1):
            # Of a model's page, one that there is.
            row = named["entry_id"] if "registryentry" in short else _row(short)
            values = named | {"object_id": row, "content_type_id": 1, "url": "nowhere/"}
            kwargs = {key: values.get(key, row) for key in one[0][0][1]}
            label = f"GET {name}" + (f" ({number})" if len(possible) > 1 else "")
            yield label, reverse(name, kwargs=kwargs)


def filtered(named: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, query in FILTERED:
        slug = [] if name.startswith(("admin:", "staff")) else [named["slug"]]
        yield f"GET {name}{query}", reverse(name, args=slug) + query.format(**named)


def _row(name: str) -> Any:
    """The key of the first row of the model that an admin page is about."""
    model = name.removeprefix("orgs_").partition("_")[0]
    known = {found._meta.model_name: found for found in apps.get_app_config("orgs").get_models()}
    row = known[model].objects.order_by("pk").first() if model in known else None
    return row.pk if row else 1


def count(ask: Callable[[], Any]) -> int:
    """Queries of the second time, once what is remembered is there; streams to their end."""
    _read(ask())  # what it holds while it streams is free again
    with CaptureQueriesContext(connection) as captured:
        _read(ask())
    return len(captured)


def _read(response: Any) -> None:
    if response.streaming:
        for _ in response.streaming_content:
            pass


@pytest.fixture
def counted(named, acme, alice, staff, actor, project) -> Callable[[], dict[str, int]]:
    browsers = {who: Client(raise_request_exception=True) for who in ("alice", "staff")}
    browsers["alice"].force_login(alice)
    browsers["staff"].force_login(staff)
    person = Api(tokens.token_issue_api(user=alice, name="script", actor=actor)[1])
    worker = Api(tokens.token_issue_worker(organization=acme, name="fleet", actor=actor)[1])
    asked = {"project": str(project.pk), "image": f"{HOST}/role/x"}
    entry = {"type": "aws-ecr-role", "configuration": {"role_name": "ValohaiWorkerRole"}}
    numbers = itertools.count()

    def body(name: str) -> dict[str, Any] | None:
        """Another each time, so that each is written."""
        new = f"{next(numbers)}"
        owner = {"owner": acme.pk, "image_pattern": f"{HOST}/posted-{new}"}
        return {
            "PUT api:credential": entry | {"image_pattern": f"{HOST}/role/*", "note": new},
            "PATCH api:credential": {"note": new},
            "POST api:credentials": entry | owner,
            "POST api:docker_login": asked,
            "POST api:docker_login_outcome": asked
            | {"entry": str(named["entry_id"]), "code": "ok"},
        }.get(name)

    def run() -> dict[str, int]:
        found = {}
        for name, address in (*page_addresses(named), *filtered(named)):
            of_staff = name.startswith(("GET admin:", "GET staff"))
            browser = browsers["staff" if of_staff else "alice"]
            if "logout" not in name:
                found[name] = count(lambda: browser.get(address))  # noqa: B023
        for name, path in API.items():
            api = worker if "docker_login" in name else person
            method = name.partition(" ")[0]
            at = path.format(**named)
            found[name] = count(lambda: api.send(method, at, body(name)))  # noqa: B023
        return found

    return run


def test_as_many_as_ever(counted, more, monkeypatch) -> None:
    monkeypatch.setattr(health, "EVERY", 0.0)
    health.forget()
    more(0)
    few = counted()
    assert WorkerToken.objects.count() > N
    more(N)
    twice = counted()
    found = {name: [few[name], twice[name]] for name in sorted(few)}
    if os.environ.get(RENEW):
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(found[name])}" for name in found)
        FILE.write_text(f"{{\n{lines}\n}}\n")
    kept = json.loads(FILE.read_text())
    names = found.keys() | kept.keys()
    told = {n: (kept.get(n), found.get(n)) for n in names if kept.get(n) != found.get(n)}
    assert not told, f"(kept, counted); if it's meant: {RENEW}=1 with this test. {told}"
    growing = {name for name, (n, twice) in kept.items() if n != twice}
    assert growing == set(GROWS), "more rows, more queries: mend it, or say why in GROWS"


@pytest.mark.once
def test_no_address_of_the_api_is_left_out() -> None:
    known = {name.partition(" ")[2] for name in API}
    assert {name for name, _ in addresses() if name.startswith("api:")} == known

"""One canary of each kind, and everything that the product says to anyone: nowhere.

Every address as every actor, GET and POST, well and with every error forced, DEBUG on; logs,
figures, mails, dumps and the bytes of the database. `test_canary` looks at single doors.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from allauth.core import context
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.core.management import call_command
from django.template import loader
from django.test import Client, override_settings
from django.urls import get_resolver, reverse

from orgs.models import Environment
from orgs.registries.catalogue import BY_SLUG
from orgs.registries.images import ImageReference
from orgs.registries.problems import Failed
from orgs.services.audit.events import Actor
from orgs.services.bulk import drafts
from orgs.services.entries import door
from orgs.services.identity import signing
from orgs.services.logins import issuing
from orgs.services.tenancy import invitations, mails, notice_addresses, people, second_steps, tokens
from tests.conftest import CANARY, HOST, PASSWORD, exported, make_user
from tests.support.declared import valid
from tests.support.fake_google import key_file
from tests.test_access import admin_addresses, own
from tests.test_canary import database_bytes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

APP = "CANARYKEY234567CANARYKEY234567AB"
SEED = "c0ffee" * 13
GOOGLE = "CANARYgoogleCANARYgoogle+7531CANARYgoogle"
AZURE = "CAN8Q~ARYazureCANARYazure.9753CANARYazure"
SIGNED = "eyJhbGciOiJSUzI1NiJ9.eyJDQU5BUlkiOiJDQU5BUlkifQ.CANARYsignedCANARYsigned2468"
FEDERATED = "ya29.d.CANARYfederatedCANARY.8642CANARYfederated"
HOOK = "CANARYhookCANARYhook/4321CANARYhook"


@pytest.fixture
def planted(
    aws, azure, google, monkeypatch, acme, alice, bob, project, make_entry, actor, settings, caplog
) -> dict[str, str]:
    """What must come out nowhere, by what it is."""
    caplog.set_level(logging.DEBUG)
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    key_id, secret = aws.create_user("valohai", aws.policy())
    make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})
    make_entry(
        "quay.io/acme/*",
        registry_type="docker",
        config={"username": "robot"},
        secrets={"password": CANARY},
    )
    make_entry(
        "gcr.io/acme/*",
        registry_type="gcp-cr",
        config={},
        secrets={"service_account_json": key_file(canary=GOOGLE)},
    )
    make_entry(
        "acmeml.azurecr.io/*",
        registry_type="azure-acr",
        config={"tenant_id": str(UUID(int=1)), "client_id": str(UUID(int=2))},
        secrets={"client_secret": AZURE},
    )
    make_entry(
        "public.ecr.aws/acme/*",
        registry_type="aws-ecr-public",
        config={"access_key_id": key_id},
        secrets={"secret_access_key": secret},
    )
    tenant, client = azure.create_identity()
    make_entry(
        "othername.azurecr.io/*",
        registry_type="azure-acr-oidc",
        config={"tenant_id": tenant, "client_id": client},
        secrets={},
    )
    make_entry(
        "us-docker.pkg.dev/acme/*",
        registry_type="gcp-cr-oidc",
        config=valid(BY_SLUG["gcp-cr-oidc"])[0],
        secrets={},
    )
    monkeypatch.setattr(signing, "signed", lambda *of: SIGNED)
    # One of Google's gives a token, and the next takes it for nothing.
    told = json.dumps({"access_token": FEDERATED, "expires_in": 60}).encode()
    google.posted = lambda path, content: (200, told) if path == "/v1/token" else (403, b"{}")
    for image, code in (
        ("othername.azurecr.io/x", "identity_refused"),
        ("us-docker.pkg.dev/acme/r/x", "access_denied"),
    ):
        with pytest.raises(Failed, match=code):  # once it was sent
            issuing.login_for(
                project=project, image=ImageReference.parse(image), actor=Actor("tests")
            )
    login = issuing.login_for(
        project=project, image=ImageReference.parse(f"{HOST}/train:v1"), actor=Actor("tests")
    )
    with second_steps.of(alice):
        sealed = {"secret": second_steps.sealed(APP)}
        Authenticator.objects.create(user=alice, type="totp", data=sealed)
        seed = {"seed": second_steps.sealed(SEED), "used_mask": 0, "viewed_at": 1.0}
        codes = Authenticator.objects.create(user=alice, type="recovery_codes", data=seed)
    notices_secret = notice_addresses.address_set(
        organization=acme, actor=actor, kind="webhook", address=f"https://nowhere.invalid/{HOOK}"
    )[1]
    worker = tokens.token_issue_worker(organization=acme, name="w", actor=actor)[1]
    person = tokens.token_issue_api(user=alice, name="a", actor=actor)[1]
    return {
        "an AWS secret key": secret,
        "a registry's password": CANARY,
        "a service account's key": GOOGLE,
        "an application's secret": AZURE,
        "what this server signed of an entry": SIGNED,
        "what a cloud gave for it": FEDERATED,
        "a line of its private key": json.loads(key_file())["private_key"].splitlines()[9],
        "a minted login": login.login.password,  # type: ignore[union-attr]
        "an app's key": APP,
        "a recovery seed": SEED,
        "a recovery code": code_of(RecoveryCodes(codes), alice),
        "a worker token": worker.rpartition("_")[2],
        "an API token": person.rpartition("_")[2],
        "an address for notices": HOOK,
        "a signing secret": notices_secret,
        "a password": PASSWORD,
        "a password link": people.person_link(person=bob, actor=actor).rstrip("/").split("/")[-1],
    }


def code_of(codes: RecoveryCodes, person: Any) -> str:
    with context.request_context(SimpleNamespace(user=person)):  # type: ignore[arg-type]
        return codes.generate_codes()[0]


@pytest.fixture
def visitors(alice, bob, charlie, staff, umbrella) -> list[Client]:
    """Nobody, a stranger, another's admin, a member, the admin, staff, a superuser."""
    stranger = make_user("dora@example.com", "Dora")
    root = make_user("root@example.com", "Root")
    root.is_staff = root.is_superuser = True
    root.save()
    found = [Client(raise_request_exception=False)]
    for person in (stranger, charlie, bob, alice, staff, root):
        client = Client(raise_request_exception=False)
        client.force_login(person)
        found.append(client)
    return found


@pytest.fixture
def addresses(acme, alice, bob, project, gpu: Environment, actor) -> list[str]:
    entry = acme.entries.order_by("pk").first()
    (invited,) = invitations.invite(
        organization=acme, emails=["new@example.com"], role="member", actor=Actor("a", alice)
    )
    values: dict[str, Any] = {
        "slug": acme.slug,
        "page": "workers",
        "project_id": project.pk,
        "environment_id": gpu.pk,
        "membership_id": bob.memberships.get().pk,
        "invitation_id": invited.pk,
        "entry_id": entry.pk,
        "token_id": acme.worker_tokens.first().pk,
        "api_token_id": alice.api_tokens.first().pk,
        "draft_id": drafts.draft_store(
            organization=acme, user=alice, file_name="f.csv", format="csv",
            content=f"image_pattern,type,username,password\nquay.io/x/*,docker,r,{CANARY}".encode(),
            update=False,
        ).pk,
        "run_id": exported(acme, Actor("alice", alice)).pk,
        "uidb64": "MQ", "token": "abc-def", "key": 1, "pk": 1,
    }  # fmt: skip
    found = []
    for name in own():
        wanted = get_resolver().reverse_dict.getlist(name)[0][0][0][1]
        found.append(reverse(name, kwargs={key: values.get(key, 1) for key in wanted}))
    return [one for one in found + admin_addresses() if "logout" not in one]


def everything(visitors: list[Client], addresses: list[str]) -> Iterator[tuple[str, str]]:
    """(where, what) of every answer."""
    for client in visitors:
        for address in addresses:
            for method in ("get", "post"):
                answer = getattr(client, method)(address)
                body = b"".join(answer.streaming_content) if answer.streaming else answer.content
                yield f"{method} {address}", f"{answer.headers}{body.decode(errors='replace')}"


def found_in(text: str, planted: dict[str, str]) -> set[str]:
    return {what for what, canary in planted.items() if canary in text}


@pytest.mark.once
def test_every_page_as_every_actor(planted, visitors, addresses, caplog, mailoutbox) -> None:
    told: dict[str, set[str]] = {}
    for where, what in everything(visitors, addresses):
        if found := found_in(what, planted):
            told[where] = found
    assert not told
    mails.drain()
    texts = {
        "logs": caplog.text,
        "mails": "".join(mail.subject + mail.body for mail in mailoutbox),
        "figures": visitors[0].get("/metrics").content.decode(),
    }
    assert {where: found_in(text, planted) for where, text in texts.items()} == {
        "logs": set(),
        "mails": set(),
        "figures": set(),
    }


@pytest.mark.once
@pytest.mark.parametrize("debug", [True, False])
def test_every_error_forced(planted, visitors, addresses, caplog, monkeypatch, debug) -> None:
    """Whatever a page was about to show is in the frames that an error page of DEBUG shows."""

    def broken(*args: Any, **kwargs: Any) -> str:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(loader, "render_to_string", broken)
    crashed = 0
    with override_settings(DEBUG=debug):
        for where, what in everything(visitors[3:5], addresses):
            crashed += "broken on purpose" in what
            assert not found_in(what, planted), where
    assert crashed > 50 or not debug
    assert not found_in(caplog.text, planted)


def test_dumps_and_bytes(planted, tmp_path, acme, actor) -> None:
    call_command("dumpdata", output=str(tmp_path / "dump.json"), verbosity=0)
    assert not found_in((tmp_path / "dump.json").read_text(), planted)
    assert not found_in(database_bytes().decode(errors="replace"), planted)
    for entry in acme.entries.all():
        door.entry_delete(entry=entry, actor=actor)
    Authenticator.objects.all().delete()
    assert not found_in(database_bytes().decode(errors="replace"), planted)
    assert re.search(rb"first-project", database_bytes())

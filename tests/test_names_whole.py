"""Scripts in every name that people give, looked for on every page as every actor."""

from __future__ import annotations

import pytest
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.urls import reverse

from orgs.models import Environment, Organization, Project, RegistryEntry, User, WorkerToken
from tests.conftest import HOST
from tests.support.passkey import Passkey
from tests.test_canary_whole import addresses, everything, planted, visitors  # noqa: F401

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

SCRIPT = "<script>alert(1)</script>"
BREAKS = ('"><img src=x onerror=alert(1)>', "'-alert(1)-'", "{{ 7|add:7 }}{% now 'Y' %}")


@pytest.fixture
def named(planted, acme, alice) -> str:  # noqa: F811
    """Every name that somebody gave is a script."""
    text = SCRIPT + BREAKS[0]
    for model in (Organization, Project, Environment, User, WorkerToken):
        model.objects.update(name=text)
    alice.api_tokens.update(name=text)
    RegistryEntry.objects.update(note=text, status_detail=text)
    UserSession.objects.create(user=alice, session_key="s", ip="192.0.2.1", user_agent=text)
    asked = {"publicKey": {"challenge": "AAAA", "user": {"id": "MQ"}}}
    data = {"name": text, "credential": Passkey().create(asked)}
    Authenticator.objects.create(user=alice, type="webauthn", data=data)
    return text


def test_no_name_is_a_script(named, visitors, addresses) -> None:  # noqa: F811
    shown = 0
    for where, what in everything(visitors, addresses):
        shown += "&lt;script&gt;alert(1)" in what
        # JSON and files say it as it is: no browser runs those
        if "text/html" in what[:400]:
            assert SCRIPT not in what and BREAKS[0] not in what, where
    assert shown > 50


def test_a_pattern_that_somebody_asks_about_is_text(client, alice, acme) -> None:
    client.force_login(alice)
    for text in (SCRIPT, *BREAKS):
        for page, name in (("check", "image"), ("registries", "q"), ("audit", "subject")):
            answer = client.get(reverse(page, args=["acme"]), {name: text})
            assert text not in answer.content.decode() or "{{" in text
        help_page = reverse("entry_help", args=["acme"])
        answer = client.post(help_page, {"patterns": f"{HOST}/{text}"})
        assert text not in answer.content.decode() or "{{" in text

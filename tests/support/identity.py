"""This server as an issuer: a name that clouds take, a type that rests on it, and a cloud's own
judging of what was signed, by another library than the product's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.test import Client
from joserfc import jwt
from joserfc.jwk import KeySet

from orgs.models import SigningKey
from orgs.registries import catalogue
from orgs.registries.types import RegistryType, Travel
from orgs.services.identity import documents, keys
from tests.support.issuer import NAME

URL = NAME
JWKS, DISCOVERY = f"/{documents.KEYS}", f"/{documents.DISCOVERY}"
AUDIENCE = "sts.amazonaws.com"


class Trusting(RegistryType):
    """Robots that the toy shop lets in for what this server signs of itself."""

    slug = "toy-oidc"
    label = "Toy shop (no key)"
    short_label = "Toy, no key"
    summary = "Where no robot has a certificate."
    travel = Travel.MINTED
    trusts_issuer = True
    fields = ()

    def clean_own(self, config, secrets, patterns):
        return config, secrets, []

    def secret_scope(self, config, patterns):
        return frozenset()

    def example_host(self, pattern):
        return pattern.authority

    def login(self, config, secrets, ask):
        raise AssertionError("Nobody asks the toy shop.")


@pytest.fixture
def issuing(settings) -> Iterator[None]:
    """This server has a name that clouds take, and remembers nothing of another test."""
    settings.BASE_URL, settings.OIDC_ISSUER, settings.OIDC_DROPPED_KEYS = URL, "", []
    forget()
    yield
    forget()


@pytest.fixture
def trusting_type(monkeypatch: pytest.MonkeyPatch) -> str:
    """A type without a secret, whose cloud trusts what this server signs."""
    monkeypatch.setitem(catalogue.BY_SLUG, Trusting.slug, Trusting())
    return Trusting.slug


def forget() -> None:
    """What a process remembers between two requests, so that it is like another."""
    documents.held.forget()
    documents.note.again()
    keys.look_again()
    keys._opened.cache_clear()


def fetched() -> dict[str, Any]:
    """The keys as someone outside gets them, a moment after whatever was done last."""
    documents.held.forget()
    return json.loads(Client().get(JWKS).content)


def kids(key_set: dict[str, Any]) -> set[str]:
    return {key["kid"] for key in key_set["keys"]}


def judged(token: str, key_set: dict[str, Any]) -> dict[str, Any]:
    """The claims of a token, as a cloud reads them that has these keys. Raises what joserfc
    does where no key of them has signed it."""
    return jwt.decode(token, KeySet.import_key_set(key_set), algorithms=["RS256"]).claims


def later(**by: float) -> None:
    """Let time pass, as far as keys are concerned."""
    passed = timedelta(**by)
    SigningKey.objects.update(signs_from=F("signs_from") - passed)
    SigningKey.objects.exclude(signed_until=None).update(signed_until=F("signed_until") - passed)

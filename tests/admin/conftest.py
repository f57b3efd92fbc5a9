"""Admin pages, read as people read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from orgs.models import AuditEvent, User
from tests.conftest import CANARY, make_user
from tests.web.conftest import TYPED, Page

__all__ = ["TYPED", "Page"]


def at(name: str, *args: object, **query: object) -> str:
    """The address of an admin page of `orgs`."""
    return reverse(f"admin:orgs_{name}", args=args, query=query or None)


@pytest.fixture
def no_canary(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No answer of any test here, nor what is logged of it, ever holds the secret."""
    request = Client.request

    def checked(self: Client, **kwargs: Any) -> HttpResponse:
        response = request(self, **kwargs)
        body = b"".join(response.streaming_content) if response.streaming else response.content
        assert CANARY.encode() not in body and CANARY[9:30].encode() not in body
        assert CANARY not in str(response.headers)
        if response.streaming:
            response.streaming_content = [body]
        return response

    monkeypatch.setattr(Client, "request", checked)
    yield
    assert CANARY not in str([*LogEntry.objects.values(), *AuditEvent.objects.values()])


@pytest.fixture(autouse=True)
def _watched(db: None, no_canary: None) -> None:
    """For every test of the admin."""


@pytest.fixture
def stella(client: Client, staff: User) -> Client:
    """A superuser, signed in."""
    client.force_login(staff)
    return client


@pytest.fixture
def some_staff(db: None) -> Callable[..., User]:
    """Staff with just these permissions, as codenames."""

    def make(*codenames: str) -> User:
        user = make_user("helper@example.com", "Helga", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        assert user.user_permissions.count() == len(codenames)
        return user

    return make


@pytest.fixture
def see(stella: Client) -> Callable[..., Page]:
    def get(address: str) -> Page:
        return Page(stella.get(address))

    return get


@pytest.fixture
def send(stella: Client) -> Callable[..., Page]:
    """The page at the end of what answers a form."""

    def post(address: str, data: dict[str, Any]) -> Page:
        return Page(stella.post(address, data, follow=True))

    return post

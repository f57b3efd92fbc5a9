"""Reading pages the way a person does: by title, heading, field and sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from orgs.models import User
from tests.conftest import CANARY, HOST

VOID = {"input", "meta", "link", "br", "wbr", "hr", "img", "source"}


class Page(HTMLParser):
    """What the tests ask of an answer: texts by tag and id, attributes of fields."""

    def __init__(self, response: Any) -> None:
        super().__init__()
        self.status = response.status_code
        self.html = response.content.decode()
        self.texts: dict[str, list[str]] = {}
        self.by_id: dict[str, str] = {}
        self.attributes: dict[str, dict[str, str | None]] = {}
        self.fields: dict[str, dict[str, str | None]] = {}
        self.links: dict[str, str] = {}
        self._open: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if name := found.get("id"):
            assert name not in self.attributes, f"id {name} twice"
            self.attributes[name] = found
        if tag in {"input", "select", "textarea"} and found.get("name"):
            self.fields[found["name"] or ""] = found
        if tag not in VOID:
            self._open.append((tag, found, []))

    def handle_endtag(self, tag: str) -> None:
        opened, found, texts = self._open.pop()
        assert opened == tag, f"<{opened}> closed by </{tag}>"
        text = re.sub(r"\s+", " ", "".join(texts)).strip()
        self.texts.setdefault(tag, []).append(text)
        if found.get("id"):
            self.by_id[found["id"] or ""] = text
        if tag == "a":
            self.links[text] = found.get("href") or ""

    def handle_data(self, data: str) -> None:
        for _, _, texts in self._open:
            texts.append(data)

    @property
    def title(self) -> str:
        return self.texts["title"][0]

    @property
    def heading(self) -> str:
        (only,) = self.texts["h1"]
        return only

    @property
    def text(self) -> str:
        return self.texts["body"][0]

    def error(self, name: str) -> str:
        """The sentences at a field."""
        return self.by_id.get(f"id_{name}_error", "")

    def brief(self, name: str) -> str:
        """What the summary says of a field, which is a link to it and no sentence."""
        (found,) = [
            text for text, to in self.links.items() if to in (f"#id_{name}", f"#id_{name}_0")
        ]
        assert not found.endswith("."), found
        return found

    @property
    def wrong(self) -> set[str]:
        return {
            key.removeprefix("id_").removesuffix("_error")
            for key in self.by_id
            if key.startswith("id_") and key.endswith("_error")
        }


@pytest.fixture
def look(client: Client) -> Callable[..., Page]:
    """A page as someone sees it; None is anonymous."""

    def get(who: User | None, url: str, **query: str) -> Page:
        if who is not None:
            client.force_login(who)
        return Page(client.get(url, query))

    return get


@pytest.fixture
def send(client: Client) -> Callable[..., Page]:
    """The page that answers a form."""

    def post(who: User, url: str, data: dict[str, Any]) -> Page:
        client.force_login(who)
        return Page(client.post(url, data))

    return post


NEW = "/organizations/acme/registries/new/"
TYPED = {
    "patterns": f"{HOST}/my-repo/*",
    "registry_type": "aws-ecr",
    "access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "secret_access_key": CANARY,
    "region": "",
    "note": "typed by hand",
    "enabled": "on",
}


def url(name: str, entry: Any) -> str:
    return reverse(name, args=["acme", entry.pk])

"""Requests that nobody should send: bodies for the API, query strings and forms for pages.

`run("bodies" | "queries", count, seed)` sends so many to this process's own Django, with a
database of its own, and gives figures; nothing may crash or answer 500. The suite sends
fewer by the same generators (tests/web/test_fuzz.py).
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from html.parser import HTMLParser
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

from orgs.registries.catalogue import BY_SLUG

from .world import World, nobody_answers

# What the code reads from query strings; a test holds this against the code.
PARAMETERS = (
    *("actor", "action", "subject", "project", "result", "source", "since", "until", "before"),
    *("q", "type", "status", "environment", "unused", "old_key", "sort", "page", "format"),
    *("image", "repository", "host", "worker", "first_login", "copy", "fields", "pattern"),
    *("replace", "next", "template", "errors", "organization", "owner", "limit", "offset"),
    *("asked", "words", "staff", "part", "corrected"),
    # Django's admin, and what its lists may be narrowed by.
    *("p", "o", "e", "all", "_popup", "_to_field", "_facets", "_changelist_filters"),
    *("term", "app_label", "model_name", "field_name", "registry_type", "status__exact"),
    *("enabled__exact", "staff__exact", "role__exact", "is_staff__exact", "is_active__exact"),
    *("organization__id__exact", "id__exact", "at__gte", "note__regex", "config__a__icontains"),
    *("secrets__startswith", "pk__in", "name__isnull", "user", "environment_id", "actor_id"),
)

NASTY = (
    *("", " ", "0", "-1", "1", "1.5", "٣", "１２", "1e999", "inf", "-inf", "nan", "0x10", "1_000"),
    *("9" * 19, "9" * 30, "-" + "9" * 30, "9" * 5000, "2147483648", "9223372036854775808"),
    *("9999-12-31", "0001-01-01", "0000-00-00", "2024-02-30", "9999-12-31T23:59:59.999999"),
    *("0001-01-01T00:00:00+23:59_1", "9999-12-31T23:59:59-23:59_1", "2024-01-01T00:00:00_1"),
    *("2024-01-01T00:00:00+00:00_" + "9" * 30, "2024-01-01T00:00:00+00:00_-1", "_", "_1"),
    *("null", "None", "true", "[]", "{}", "[[]]", "%s", "%(x)s", "{0}", "{x.__class__}", "${x}"),
    *("'", '"', "' OR 1=1 --", "*)(uid=*", "\\", "%", "_", "%_%", "(a+)+$", "[", "(?P<x", "*" * 99),
    *("<script>alert(1)</script>", "../../etc/passwd", "//evil.example", "http://evil.example"),
    *(
        "javascript:alert(1)",
        "\r\nX: y",
        "\t",
        "\x1b[31m",
        "\x7f",
        "\x85",
        "\u2028",
        "\u202e\u2066",
    ),
    *(
        "\ufeff",
        "\ufffd",
        "\uffff",
        "é",
        "ﬀ",
        "İ",
        "ß",
        "👩‍🚀",
        "\U0010ffff",
        "a\u0300" * 50,
        "x" * 3000,
    ),
    *("a b " * 400, "00000000-0000-0000-0000-000000000000", "acme", "gpu", "aws-ecr", "docker"),
    *("registry.example.com/*", "registry.example.com/team/" + "*a" * 100, "::1", "10.0.0.256"),
    *("fe80::1%eth0", "=1+1", "-sort", "1,2,3", "id", "email", "entry.created", "json", "yaml"),
)
# Not in a form's or an address's text as Django gives it, but in the bytes that are sent.
RAW = (
    "%00",
    "a%00b",
    "%ff",
    "%ed%a0%80",
    "%c0%80",
    "%",
    "%zz",
    "+",
    "%0a",
    "&&",
    "=",
    ";",
    "%u0000",
)
SURROGATES = ("\ud800", "\udfff", "a\udc80b", "\0", "a\0b", "\x1b[2J", "\x9b")


@dataclass(frozen=True)
class Sent:
    """One request, as far as someone must know it to send it again."""

    who: str
    method: str
    address: str
    body: Any = None

    def __str__(self) -> str:
        body = "" if self.body is None else f" {str(self.body)[:300]!r}"
        return f"{self.who} {self.method} {self.address[:300]!r}{body}"


@dataclass
class Figures:
    """What came of a run; `slowest` are seconds, and the request that took them."""

    part: str
    count: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0
    slowest: tuple[float, str] = (0.0, "")
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        statuses = ", ".join(f"{status}: {n:,}" for status, n in sorted(self.statuses.items()))
        slowest = f"{self.slowest[0] * 1000:.0f} ms ({self.slowest[1]})"
        lines = [
            f"{self.part}: {self.count:,} in {self.seconds:.0f} s; {statuses}",
            f"  slowest {slowest}; failed {len(self.failures):,}",
            *(f"  ! {told}" for told in self.failures[:20]),
        ]
        return "\n".join(lines)


# --- addresses ------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """An address of the URL configuration: its name, and how it is filled in."""

    name: str
    fill: Callable[[dict[str, Any]], str]
    parameters: tuple[str, ...]

    def __str__(self) -> str:
        return self.name

    @property
    def in_api(self) -> bool:
        return self.name.startswith("api:")


def places() -> list[Place]:
    """All of web, API and admin, whatever they are called."""
    from django.urls import get_resolver

    found = {}
    for place in _places(get_resolver(), "", ""):
        found.setdefault((place.name, place.parameters), place)
    return list(found.values())


def _places(resolver: Any, namespace: str, name_of: str) -> Iterator[Place]:
    from django.urls import URLResolver

    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from _places(pattern, inner, name_of)
        elif pattern.name:
            yield _place(f"{namespace}{pattern.name}")


def _place(name: str) -> Place:
    from django.urls import get_resolver

    resolver: Any = get_resolver()
    *namespaces, last = name.split(":")
    for namespace in namespaces:
        resolver = resolver.namespace_dict[namespace][1]
    options = resolver.reverse_dict.getlist(last)
    prefix = {"admin": "/admin/", "api": "/api/v0/"}.get(namespaces[0] if namespaces else "", "/")
    template, parameters = options[0][0][0] if options else ("", [])

    def fill(values: dict[str, Any]) -> str:
        return prefix + template % {key: values[key] for key in parameters}

    return Place(name, fill, tuple(parameters))


def known(place: Place, ids: dict[str, Any]) -> dict[str, Any]:
    """The parts of a place's path as they should be."""
    model = place.name.partition("orgs_")[2].partition("_")[0]
    of = {"object_id": ids.get(model, 1), **ids}
    if model and "id" in place.parameters:
        of["id"] = of["object_id"]
    return {key: of.get(key, "1") for key in place.parameters}


# --- forms ----------------------------------------------------------------------


class _Fields(HTMLParser):
    """The forms of a page: where each goes, how, and its fields as they begin."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: list[tuple[str, str, dict[str, list[str]]]] = []
        self.outside: dict[str, list[str]] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append((given.get("action", ""), given.get("method", "get").upper(), {}))
        if tag in {"input", "select", "textarea", "button"} and given.get("name"):
            fields = self.forms[-1][2] if self.forms else self.outside
            fields.setdefault(given["name"], []).append(given.get("value", ""))


def forms_of(page: str, address: str) -> list[tuple[str, str, dict[str, list[str]]]]:
    """(address, method, fields) of every form in a page."""
    return [(action or address, method, fields) for action, method, fields in _Fields(page).forms]


# --- what is sent -----------------------------------------------------------------


def nasty(random: Random) -> str:
    """A value for a text field."""
    if random.random() < 0.8:
        return random.choice(NASTY)
    return "".join(
        chr(random.choice((random.randrange(32, 127), random.randrange(1, 0xD800))))
        for _ in range(random.randrange(20))
    )


def query(random: Random) -> str:
    """A query string, of names that mean something somewhere and some that don't."""
    parts = []
    for _ in range(random.choice((1, 1, 1, 2, 3, 5, 30))):
        name = random.choice(PARAMETERS) if random.random() < 0.95 else nasty(random)
        if random.random() < 0.1:
            parts.append(f"{quote(name)}={random.choice(RAW)}")
        else:
            parts.append(urlencode({name: nasty(random)}))
    return "&".join(parts)


def address(random: Random, place: Place, ids: dict[str, Any]) -> str:
    """The place's address; seldom with a part of its path that names nothing."""
    values = known(place, ids)
    if values and random.random() < 0.2:
        key = random.choice(sorted(values))
        values[key] = quote(nasty(random), safe="") if random.random() < 0.8 else random.choice(RAW)
    return place.fill(values)


def form(random: Random, fields: dict[str, list[str]]) -> dict[str, Any]:
    """A form's fields, some changed, left out, doubled or made up."""
    sent: dict[str, Any] = {name: list(values) for name, values in fields.items()}
    names = sorted(sent) or ["x"]
    for _ in range(random.choice((1, 1, 2, 3, len(names)))):
        name = random.choice(names)
        doing = random.random()
        if doing < 0.1:
            sent.pop(name, None)
        elif doing < 0.2:
            sent[name] = [nasty(random) for _ in range(random.choice((2, 3, 40)))]
        else:
            sent[name] = [random.choice((*SURROGATES[3:], nasty(random), nasty(random)))]
    if random.random() < 0.1:
        sent[nasty(random)[:50]] = [nasty(random)]
    sent.pop("csrfmiddlewaretoken", None)
    return sent


def body(random: Random, world: World) -> tuple[str, str, Any]:
    """(method, path, body) for the API: a body that would do, with something else in it."""
    kind = random.choice(("login", "login", "outcome", "create", "create", "update", "change"))
    entry = world.ids["entry_id"]
    if kind == "login":
        given: dict[str, Any] = {"project": str(world.ids["project"]), "image": _image(random)}
        method, path = "POST", "/api/v0/docker-login/"
        if random.random() < 0.3:
            path += f"?{query(random)}"
    elif kind == "outcome":
        given = {
            "entry": str(world.ids["role_entry"]),
            "project": str(world.ids["project"]),
            "image": _image(random),
            "code": random.choice(("ok", "role_not_attached", "x")),
        }
        method, path = "POST", "/api/v0/docker-login/outcome/"
    else:
        given = {
            "type": random.choice((*BY_SLUG, "nowhere")),
            "image_pattern": random.choice(("h.example.com/a/*", "h.example.com/" + nasty(random))),
            "configuration": {"version": "1", "username": "u", "password": "p"},
            "environments": [],
            "note": "",
        }
        path = "/api/v0/registry-credentials/"
        method = {"create": "POST", "update": "PUT", "change": "PATCH"}[kind]
        path += "" if kind == "create" else f"{entry}/"
    for _ in range(random.choice((0, 0, 1, 1, 2))):
        _spoil(random, given)
    return method, path, _written(random, given)


def _image(random: Random) -> str:
    host = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
    return random.choice((f"{host}/team/a:v1", "registry.example.com/x", "python:3", nasty(random)))


def value(random: Random, depth: int = 0) -> Any:
    """Any JSON."""
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: nasty(random),
        lambda: random.choice(SURROGATES),
        lambda: random.choice((None, True, False, 0, -1, 1.5, 10**30, 10**400, 1e308, 2**63)),
        lambda: [value(random, depth + 1) for _ in range(random.randrange(4))],
        lambda: {nasty(random)[:40]: value(random, depth + 1) for _ in range(random.randrange(4))},
        lambda: [f"h.example.com/{n}" for n in range(random.choice((3, 101, 2000)))],
    )
    return random.choice(kinds[:3] if depth > 2 else kinds)()


def _spoil(random: Random, given: dict[str, Any]) -> None:
    """Change one thing, in the object or in one inside it."""
    inside = [given] + [inner for inner in given.values() if isinstance(inner, dict)]
    chosen = random.choice(inside)
    names = (
        *sorted(chosen),
        *sorted(given),
        "owner",
        "enabled",
        "image_patterns",
        "server",
        "region",
    )
    if random.random() < 0.1 and chosen:
        chosen.pop(random.choice(sorted(chosen)))
    else:
        chosen[random.choice(names) if random.random() < 0.9 else nasty(random)] = value(random)


def _written(random: Random, given: Any) -> bytes:
    """As JSON, seldom as something that isn't quite."""
    text = json.dumps(given, ensure_ascii=random.random() < 0.5)
    doing = random.random()
    if doing < 0.03:
        text = "[" * random.choice((5, 2000, 100_000)) + text
    elif doing < 0.05:
        text = text[: random.randrange(len(text))]
    elif doing < 0.07:
        text = text.replace("{", '{"type": "docker", "type": "aws-ecr", ', 1)
    elif doing < 0.09:
        text = text.replace('""', random.choice(("NaN", "Infinity", "1e999", "9" * 5000)), 1)
    content = text.encode("utf-8", "surrogatepass")
    if doing > 0.97:
        content = random.choice(
            (b"", b"\xff\xfe", b"\0", content.replace(b"a", b"\xc0"), b"\xef\xbb\xbf" + content)
        )
    return content


# --- sending ----------------------------------------------------------------------


def send(world: World, sent: Sent) -> int:
    """Send it and read the whole answer; the status. A crash is raised."""
    client = world.clients[sent.who if sent.who in world.clients else "anonymous"]
    if isinstance(sent.body, bytes):
        token = {"worker": world.worker_token, "person": world.person_token}.get(sent.who, "")
        headers = {"Authorization": f"Token {token}"}
        answer = client.generic(
            sent.method, sent.address, sent.body, "application/json", headers=headers
        )
    elif sent.method == "POST":
        answer = client.post(sent.address, sent.body or {})
    else:
        answer = client.generic(sent.method, sent.address)
    if answer.streaming:
        for _ in answer.streaming_content:
            pass
    return int(answer.status_code)


def run(part: str, count: int, seed: int) -> Figures:
    """Send `count` requests of a part, `bodies` or `queries`, to a database of its own."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
    from django.db import connection
    from django.test.utils import setup_test_environment, teardown_test_environment

    logging.disable(logging.CRITICAL)
    setup_test_environment()
    name = connection.creation.create_test_db(verbosity=0)
    try:
        if connection.vendor == "sqlite":
            connection.cursor().execute("PRAGMA synchronous=OFF")
        with nobody_answers():
            return _run(part, count, Random(seed))
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)
        teardown_test_environment()
        logging.disable(logging.NOTSET)


def _run(part: str, count: int, random: Random) -> Figures:
    world = World().build()
    figures = Figures(part)
    next_one = {"bodies": _bodies, "queries": _queries}[part](random, world)
    began = time.process_time()
    for sent in next_one:
        if figures.count == count:
            break
        _tell(figures, world, sent)
        if figures.count % 500 == 0:
            _tidy()
    figures.seconds = time.process_time() - began
    return figures


def _bodies(random: Random, world: World) -> Iterator[Sent]:
    while True:
        method, path, content = body(random, world)
        who = "worker" if "docker-login" in path else "person"
        yield Sent(who, method, path, content)


def _queries(random: Random, world: World) -> Iterator[Sent]:
    every = [place for place in places() if place.name not in {"admin:logout"}]
    while True:
        place = random.choice(every)
        who = random.choice(("alice", "staff", "staff", "anonymous"))
        if place.in_api:
            who = "person"
        where = f"{address(random, place, world.ids)}?{query(random)}"
        yield Sent(who, "GET", where, b"" if place.in_api else None)


def _tell(figures: Figures, world: World, sent: Sent) -> None:
    """Send one; what it changed is undone where the address may run in a transaction."""
    from django.db import transaction

    began = time.process_time()
    try:
        if "registry-credentials" in sent.address and sent.method != "GET":
            with transaction.atomic():
                status = send(world, sent)
                transaction.set_rollback(True)
        else:
            status = send(world, sent)
    except Exception as error:
        status = 500
        figures.failures.append(f"{sent}: {type(error).__name__}: {str(error)[:200]}")
    else:
        if status == 500:
            figures.failures.append(str(sent))
    took = time.process_time() - began
    figures.count += 1
    figures.statuses[status] += 1
    figures.slowest = max(figures.slowest, (took, str(sent)))


def _tidy() -> None:
    """Drop the events that were written, and let the token ask on."""
    from django.db import connection

    from orgs.api import authentication, limits
    from orgs.models import AuditEvent

    authentication.buckets = limits.Buckets(rate=1e9, burst=1e9)
    if connection.vendor == "sqlite":
        first = AuditEvent.objects.order_by("pk").values_list("pk", flat=True).first()
        AuditEvent.objects.filter(pk__gt=(first or 0) + 100)._raw_delete(connection.alias)


# What `python -m fuzz PART` offers: (count, seed) → figures.
PARTS = {part: partial(run, part) for part in ("bodies", "queries")}

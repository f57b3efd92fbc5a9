"""Whatever an address, its query string or its form carries: no page crashes, none answers 500.

Every address of the URL configuration, for web, API and admin; the fields are those of the
forms that the page draws. `make fuzz` sends a hundred thousand by the same generators.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from random import Random

import pytest
from django.core.management import call_command
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fuzz import requests as fuzzed
from fuzz.requests import PARAMETERS, Place, Sent
from fuzz.world import World, nobody_answers
from orgs.api import limits
from tests.support import PROJECT_ROOT

# Enough that every kind of value meets every address within a minute for all.
EXAMPLES = 8
UNAVAILABLE = 503
PLACES = fuzzed.places()
SIGNS_OUT = {"logout", "admin:logout"}
# After these something may be gone, or somebody may not come in any more.
ENDS = re.compile("delete|revoke|change|edit|able|selected|preview|out|password|credential$")


@pytest.fixture(scope="module")
def world(django_db_setup, django_db_blocker) -> Iterator[World]:
    """Committed rows for the whole module: views that ask registries stand no transaction."""
    with django_db_blocker.unblock(), nobody_answers(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "buckets", limits.Buckets(rate=1e9, burst=1e9))
        yield World().build()
        call_command("flush", interactive=False, verbosity=0)


# The mark is what makes a database for the module, also where it is run alone.
@pytest.mark.django_db
def test_every_address_is_asked() -> None:
    names = {place.name for place in PLACES}
    assert {"audit", "entry_help", "check", "admin:orgs_auditevent_changelist"} <= names
    assert {"admin:autocomplete", "api:credentials", "api:docker_login"} <= names
    assert len(PLACES) > 80


@pytest.mark.parametrize("place", PLACES, ids=str)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # a random's steps don't get simpler
    suppress_health_check=list(HealthCheck),
)
@given(random=st.randoms(use_true_random=False))
def test_nothing_crashes(place: Place, random: Random, world: World) -> None:
    for sent in _requests(place, random, world):
        status = fuzzed.send(world, sent)
        assert status < 500 or status == UNAVAILABLE, sent
    if place.name in SIGNS_OUT:
        world.clients.clear()
    if ENDS.search(place.name):
        world.build()


def _requests(place: Place, random: Random, world: World) -> Iterator[Sent]:
    """An address with a query string, and each form of its page, or one made up."""
    if place.in_api:
        method = random.choice(("GET", "POST", "PUT", "PATCH", "DELETE"))
        where = f"{fuzzed.address(random, place, world.ids)}?{fuzzed.query(random)}"
        yield Sent(
            random.choice(("worker", "person")), method, where, fuzzed.body(random, world)[2]
        )
        return
    who = "staff" if place.name.startswith("admin:") else "alice"
    asked = random.choice((who, who, "staff", "anonymous"))
    where = fuzzed.address(random, place, world.ids)
    yield Sent(asked, "GET", f"{where}?{fuzzed.query(random)}")
    true = place.fill(fuzzed.known(place, world.ids))
    for address, fields in [*_forms(world, who, true), (where, {key: [""] for key in PARAMETERS})]:
        yield Sent(who, "POST", address, fuzzed.form(random, fields))


@cache
def _forms(world: World, who: str, address: str) -> list[tuple[str, dict[str, list[str]]]]:
    answer = world.clients[who].get(address)
    if answer.streaming or not answer["Content-Type"].startswith("text/html"):
        return []
    found = fuzzed.forms_of(answer.content.decode(), address)
    return [
        (action, fields)
        for action, method, fields in found
        if method == "POST" and "logout" not in action
    ]


@pytest.mark.once
def test_every_parameter_that_the_code_reads_is_among_those_sent() -> None:
    """By name, where `request.GET` is read; forms and filters of query strings by field."""
    reads = re.compile(
        r"""\b(?:GET|query)(?:\.get(?:list)?\(|\[)\s*["'](\w+)|["'](\w+)["'] in request\.GET"""
    )
    known = re.compile(r"""\bknown\(["'](\w+)""")
    names = set()
    for file in (PROJECT_ROOT / "orgs").rglob("*.py"):
        text = file.read_text()
        names |= {a or b for a, b in reads.findall(text)} | set(known.findall(text))
        names |= set(re.findall(r"""parameter_name = ["'](\w+)""", text))
    assert {"before", "copy", "format", "image"} <= names
    assert names <= set(PARAMETERS)


@pytest.mark.once
def test_every_form_that_a_query_string_fills_is_among_those_sent() -> None:
    from dataclasses import fields

    from orgs.services.audit.log import Filters as AuditFilters
    from orgs.web.organizations.workers import Choices
    from orgs.web.registries.check import ImageForm
    from orgs.web.registries.images import LookForm
    from orgs.web.registries.listing import Filters

    forms = [*ImageForm.base_fields, *LookForm.base_fields, *Choices.base_fields]
    narrowing = [f.name for kind in (AuditFilters, Filters) for f in fields(kind)]
    assert {*forms, *narrowing} <= set(PARAMETERS)

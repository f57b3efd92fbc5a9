"""The operator's list of where registries of one's own have their logins go."""

from __future__ import annotations

import pytest

from orgs.registries import sign_in_hosts
from orgs.registries.sign_in_hosts import Unusable

pytestmark = pytest.mark.once

WHOLE = ("registry.example.com", "gitlab.example.com")
PAIR = "registry.example.com=gitlab.example.com"


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        (PAIR, WHOLE),
        (" Registry.Example.COM = GitLab.example.com ", WHOLE),
        ("r.example.com:5050=g.example.com:8443", ("r.example.com:5050", "g.example.com:8443")),
        ("registry.example.com:443=gitlab.example.com:443", WHOLE),
        ("localhost:5000=auth.example.com", ("localhost:5000", "auth.example.com")),
        ("registry:5000=gitlab", ("registry:5000", "gitlab")),
    ],
)  # fmt: skip
def test_pairs(text: str, pair: tuple[str, str]) -> None:
    assert sign_in_hosts.read(text) == pair


@pytest.mark.parametrize(
    "text",
    [
        *("registry.example.com", "=gitlab.example.com", "registry.example.com=", "=", "a=b=c"),
        *("r.example.com=https://gitlab.example.com", "https://a.example.com=b.example.com"),
        *("*.example.com=gitlab.example.com", "registry.example.com=*"),
        *("r.example.com=gitlab.example.com/jwt/auth", "r.example.com/x=b.example.com"),
        *("r.example.com=r.example.com", "r.example.com=R.example.com:443"),
        *("registry.example.com=git lab.example.com", "registry.example.com=gitlab.example.com:0"),
        *("r.example.com=gitlab.example.com:70000", "r.example.com=me@gitlab.example.com"),
        *("registry.example.com=gitläb.example.com", "x=y", "registry=gitlab.example.com"),
    ],
)  # fmt: skip
def test_what_is_no_pair_says_why_and_gives_nothing(text: str) -> None:
    with pytest.raises(Unusable) as told:
        sign_in_hosts.read(text)
    assert str(told.value).endswith(".") and text in str(told.value)
    assert sign_in_hosts.of("registry.example.com", [text]) == frozenset()


def test_each_registry_has_its_own() -> None:
    pairs = [PAIR, "other.example.com=auth.example.com", "registry.example.com=b.example.com:8443"]
    found = sign_in_hosts.of("registry.example.com", pairs)
    assert found == {"gitlab.example.com", "b.example.com:8443"}
    for look_alike in (
        *("registry.example.com:5000", "a.registry.example.com", "registry.example.com.evil.com"),
        *("example.com", "registry-example.com", ""),
    ):
        assert sign_in_hosts.of(look_alike, pairs) == frozenset()


def test_what_is_suggested_is_a_pair_and_nothing_else_is_suggested() -> None:
    assert sign_in_hosts.pair("registry.example.com", "gitlab.example.com") == PAIR
    for host in ("", "registry.example.com", "a=b.example.com", "x/y.example.com"):
        assert sign_in_hosts.pair("registry.example.com", host) == ""

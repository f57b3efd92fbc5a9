"""Hosts that aren't a cloud's own, told alike by every type that is held to its cloud."""

from __future__ import annotations

from .patterns import MatchPattern
from .problems import Failed, Problem


def lookalike(
    pattern: MatchPattern,
    *,
    kind: str,
    login: str,
    resembles: bool,
    corrected: str | None,
    example: str,
) -> Problem:
    """What is wrong with a pattern whose host isn't `kind`, so that no `login` goes there.
    `corrected` is the host that seems to be meant, `example` one where none does."""
    host = pattern.authority
    path = str(pattern).removeprefix(host)
    looks = f"resembles {kind} but isn't one" if resembles else f"isn't {kind}"
    write = f"{corrected or example}{path}"
    return Problem(
        "lookalike_host",
        f"{host} {looks}, so no {login} will go there.",
        f"Write {write}, or choose the type of the registry that really runs there."
        if corrected
        else f"Write a host like {write}, or choose the type of the registry that runs there.",
        "patterns",
        suggestion=write if corrected else None,
    )


def not_its_own(host: str, kind: str) -> Failed:
    """Why no login goes to a host, by the rule of save time held again: a pattern's `*` may
    stand for what isn't `kind`, and older rules let in more."""
    return Failed(
        "entry_unusable",
        f"{host} isn't {kind}, so no login goes there.",
        "Check the image's host; if it's right, correct the entry's match pattern.",
    )

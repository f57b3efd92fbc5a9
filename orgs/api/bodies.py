"""Bodies of requests: JSON as clients write it, counted before anything is made of it."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from django.http import HttpRequest
from ninja.parser import Parser

# An entry's has two levels and some twenty keys; strings may hold brackets, too.
MOST_DEEP = 10
MOST_KEYS = 1000
MOST_BRACKETS = 5000


class Unacceptable(ValueError):
    """A body that is JSON, perhaps, but none that this API reads."""


class BoundedParser(Parser):
    """JSON without infinities, repeated keys, or more depth and keys than any body needs."""

    def parse_body(self, request: HttpRequest) -> Any:
        body = request.body
        if body.count(b"[") + body.count(b"{") > MOST_BRACKETS:
            raise Unacceptable("nested")
        keys = 0

        def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            nonlocal keys
            keys += len(pairs)
            made = dict(pairs)
            if keys > MOST_KEYS or len(made) < len(pairs):
                raise Unacceptable("keys")
            return made

        try:
            found = json.loads(body, object_pairs_hook=once, parse_constant=_refuse)
        except RecursionError:
            raise Unacceptable("nested") from None
        if _depth(found) > MOST_DEEP:
            raise Unacceptable("nested")
        return found


def _refuse(name: str) -> NoReturn:
    """Python reads NaN and infinities, which aren't JSON."""
    raise Unacceptable(name)


def _depth(value: Any) -> int:
    """How deep lists and objects are nested, counted no further than is allowed."""
    level, depth = [value], 0
    while depth <= MOST_DEEP:
        level = [
            inner
            for item in level
            if isinstance(item, list | dict)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return depth
        depth += 1
    return depth

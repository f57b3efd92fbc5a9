"""The log: one JSON object a line, one line a request, with its id in all that it brings about.

No secret by construction: of a request's address its route is written, with ids (numbers and
UUIDs) alone, since another part may be a one-time link's; no query, header or body is.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from structlog import contextvars, processors, stdlib
from structlog.typing import EventDict, Processor

if TYPE_CHECKING:
    from django.http import HttpRequest


def _first(_: object, __: str, told: EventDict) -> EventDict:
    """What all lines have, where a person looks for it."""
    return {**{name: told.pop(name) for name in ("at", "level", "message")}, **told}


def _without_values(_: object, __: str, told: EventDict) -> EventDict:
    """Of an error its kind and where it was, of those that led to it too; its text may quote
    what it was working on, a secret or a database's row."""
    given = told.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        told["error"] = list(_chain(error))
    return told


def _chain(error: BaseException | None) -> Iterator[dict[str, Any]]:
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        frames = traceback.extract_tb(error.__traceback__)
        where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        yield {"kind": type(error).__qualname__, "where": where}
        seen.append(error)
        error = error.__cause__ or error.__context__


_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
_OF_ALL: list[Processor] = [
    contextvars.merge_contextvars,
    processors.add_log_level,
    processors.TimeStamper("iso", key="at"),
    processors.EventRenamer("message"),
]
# One line a request is the most of the log, so it's written without the way round structlog.
_line = structlog.WriteLogger(sys.__stderr__)
_json = json.JSONEncoder().encode


class WithoutRequests(logging.Filter):
    """Of Django's and gunicorn's words on a request what came with it is left out: an address
    may be a one-time link, and so may the header that an error quotes."""

    def filter(self, record: logging.LogRecord) -> bool:
        name, said = record.name, str(record.msg)
        if name == "django.request":
            record.msg, record.args = f"answered {getattr(record, 'status_code', 'an error')}", ()
        elif name.startswith("django.security."):
            record.msg, record.args = f"refused: {name.rpartition('.')[2]}", ()
        elif name == "gunicorn.error" and said.startswith(_OF_A_REQUEST):
            record.msg, record.args = " ".join(said.split()[:3]).partition(":")[0], ()
        return True


_OF_A_REQUEST = ("Invalid request", "Error handling request")


class Formatter(stdlib.ProcessorFormatter):
    """Of what is logged by Python's own `logging`: Django's, gunicorn's, ours."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__(
            foreign_pre_chain=[stdlib.add_logger_name, *_OF_ALL],
            processors=[
                stdlib.ProcessorFormatter.remove_processors_meta,
                _without_values,
                _first,
                processors.JSONRenderer(),
            ],
        )


# For `logging.config.dictConfig`, of Django and of gunicorn.
CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": Formatter}},
    "filters": {"without requests": {"()": WithoutRequests}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "json",
            "filters": ["without requests"],
            "stream": "ext://sys.__stderr__",
        }
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        # At DEBUG these write request headers and bodies, signatures included.
        "botocore": {"level": "WARNING"},
        "urllib3": {"level": "WARNING"},
        "environ": {"level": "WARNING"},
        # Names the passkeys.
        "fido2": {"level": "WARNING"},
        # Each request has its line, refused ones too.
        "django.request": {"level": "ERROR"},
        "django.security.csrf": {"level": "ERROR"},
        "gunicorn.http": {"level": "ERROR"},
    },
}


def begin(given: str = "") -> str:
    """The id of a request that begins in this thread: the one that a proxy gave it, where
    that is one, else one of our own."""
    request_id = given if _GIVEN_ID.fullmatch(given) else secrets.token_hex(8)
    contextvars.clear_contextvars()
    contextvars.bind_contextvars(request=request_id)
    return request_id


def end() -> None:
    """The request is answered: what the thread does next isn't its."""
    contextvars.clear_contextvars()


@contextmanager
def on_behalf_of(request_id: str) -> Iterator[None]:
    """What this thread does here is the request's that is over, where one is given."""
    with contextvars.bound_contextvars(**({"request": request_id} if request_id else {})):
        yield


def request_id() -> str:
    """Of the request that this thread answers; "" where it answers none."""
    return contextvars.get_contextvars().get("request", "")


def answered(request: HttpRequest, status: int, seconds: float, address: str | None) -> None:
    """The line of one request."""
    match = request.resolver_match
    ids = match.kwargs if match else {}
    _write(
        "request",
        method=request.method if (request.method or "") in _METHODS else "other",
        route=match.route if match else "",
        status=status,
        ms=round(seconds * 1000, 1),
        address=address,
        **{name: str(value) for name, value in ids.items() if isinstance(value, UUID | int)},
    )


_METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])


def cut_off(why: str) -> None:
    """The line of an answer that the client didn't get to its end."""
    _write("answer cut off", why=why)


def unread(status: int, address: str | None) -> None:
    """The line of what wasn't read to its end, so that no view was asked."""
    _write("request not read", status=status, address=address)


def _write(message: str, **told: Any) -> None:
    """A line that can't be written (its disk is full) fails no request."""
    line = {
        "at": f"{datetime.now(UTC).isoformat()[:-6]}Z",
        "level": "info",
        "message": message,
        **told,
    }
    with suppress(OSError, ValueError):
        _line.msg(_json({**line, "request": request_id()}))

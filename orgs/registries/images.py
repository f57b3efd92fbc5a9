"""Image references: parsing, and the one normal form everything is matched on.

The grammar is distribution's (github.com/distribution/reference: regexp.go,
normalize.go), read as ASCII and in full. What differs is said where it does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Self

from .pasted import Pasted, has_placeholder, split_scheme, unwrapped
from .problems import Problem, Refused

HUB = "docker.io"
HUB_ALIAS = "index.docker.io"

# Longer than any true reference: DNS allows 253 characters of host, distribution
# 255 of path and 128 of tag, and the longest usual digest has 135.
MAX_LENGTH = 1024
MAX_HOST_LENGTH = 253
MAX_PATH_LENGTH = 255

_TEXT = re.compile(r"[!-~]+")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_AUTHORITY = re.compile(rf"({_LABEL}(?:\.{_LABEL})*|\[[A-Fa-f0-9:]+\])(?::([0-9]{{1,5}}))?")
COMPONENT = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*")
_PATH = re.compile(rf"{COMPONENT.pattern}(?:/{COMPONENT.pattern})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
# The grammar has more, but clients know these, in lower case only
# (github.com/opencontainers/go-digest: sha.go, algorithm.go).
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128}")
_IMAGE_ID = re.compile(r"[a-f0-9]{64}")


class InvalidImage(Refused):
    """Not an image reference, or not a server; its code is always `invalid_image`."""


@dataclass(frozen=True)
class ImageReference:
    """`[host[:port]/]path[:tag][@digest]`, normalized (DESIGN, Matching 1).

    `port` is None where none was given, or 443 was dropped. `written_server` is
    host[:port] as the client wrote it, since a login has to be filed under that
    name; it takes no part in equality.
    """

    host: str
    port: int | None
    path: str
    tag: str | None
    digest: str | None
    written_server: str = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Give the reference that `docker pull` would understand; raise `InvalidImage`.

        `str()` of the result parses to an equal one. Surrounding blanks are
        refused: whoever takes input strips it. What is known to be something else, such as
        a command or a page's address, is refused with the reference that it names.
        """
        try:
            return cls(*_parse(text))
        except InvalidImage as refused:
            raise _told(text, refused) from None

    @property
    def authority(self) -> str:
        """`host[:port]`."""
        return join_authority(self.host, self.port)

    @property
    def repository(self) -> str:
        """`host[:port]/path`."""
        return f"{self.authority}/{self.path}"

    @property
    def segments(self) -> tuple[str, ...]:
        return tuple(self.path.split("/"))

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"


def parse_server(text: str) -> tuple[str, str]:
    """Read a server alone, as credential helpers are asked for it.

    Gives `(authority, written_server)`: normalized, and as the client wrote it.
    A scheme and a path, as in `https://index.docker.io/v1/`, are dropped. Raises
    `InvalidImage`.
    """
    check_text(text)
    scheme, rest = split_scheme(text)
    if scheme is not None and scheme.lower() not in ("http", "https"):
        raise _refuse(f"“{scheme}://” isn't the scheme of a registry.", "Write the host alone.")
    written = rest.partition("/")[0]
    return join_authority(*parse_authority(written)), written


@dataclass(frozen=True)
class Server:
    """A registry as a whole, which is all that Docker's helper protocol can name.

    Normalized and written as those of an `ImageReference`.
    """

    host: str
    port: int | None
    written_server: str = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """As `parse_server`, which see; raises `InvalidImage`."""
        authority, written = parse_server(text)
        return cls(*split_authority(authority), written)

    @property
    def authority(self) -> str:
        """`host[:port]`."""
        return join_authority(self.host, self.port)

    def __str__(self) -> str:
        return self.authority


# What images, servers and match patterns share.


def check_text(text: str) -> None:
    """Raise `InvalidImage` for what can be no reference, whatever its parts."""
    if not text:
        raise _refuse("Nothing is written here.", "Write host/path, as in docker pull.")
    if len(text) > MAX_LENGTH:
        raise _refuse(f"This is longer than {MAX_LENGTH} characters.", "Write host/path.")
    if not _TEXT.fullmatch(text):
        raise _refuse(
            "Only ASCII letters, digits and signs can stand here, and no blanks.",
            "Remove blanks, also around it, and type letters that look alike anew.",
        )


def looks_like_host(part: str) -> bool:
    """Whether the part before the first `/` is a host rather than a Docker Hub name."""
    return "." in part or ":" in part or part == "localhost" or part != part.lower()


def parse_authority(written: str) -> tuple[str, int | None]:
    """Normalize `host[:port]`; raise `InvalidImage`.

    Normalizing twice must change nothing, so a host that would read as a Docker
    Hub name once it is lower-cased (`HOST`) is refused.
    """
    host, port = split_authority(written)
    if port is None and not looks_like_host(host):
        raise _refuse(
            "The host of a registry has a dot or a port, or is localhost.",
            "Write its full name, as in docker pull.",
        )
    return (HUB, None) if (host, port) == (HUB_ALIAS, None) else (host, port)


def split_authority(written: str) -> tuple[str, int | None]:
    """Host in lower case, and port, None for 443 where the host is one without it.

    Knows no alias. Raises `InvalidImage`.
    """
    match = _AUTHORITY.fullmatch(written)
    if not match or len(match[1]) > MAX_HOST_LENGTH:
        raise _refuse(
            "What stands before the first “/” isn't the host of a registry.",
            "Write host or host:port, as in docker pull.",
        )
    host = match[1].lower()
    if match[2] is None:
        return host, None
    port = int(match[2])
    if not 1 <= port <= 65535:
        raise _refuse(f"There is no port {match[2]}.", "Ports go from 1 to 65535.")
    # Without a dot it is the port alone that makes `h:443` a host.
    droppable = port == 443 and ("." in host or host == "localhost")
    return host, None if droppable else port


def join_authority(host: str, port: int | None) -> str:
    return host if port is None else f"{host}:{port}"


def check_path_length(path: str) -> None:
    """Raise `InvalidImage` for a path over 255 characters, `library/` included."""
    if len(path) > MAX_PATH_LENGTH:
        raise _refuse(
            f"The path is longer than {MAX_PATH_LENGTH} characters.",
            "No registry has a repository of that name.",
        )


def _parse(text: str) -> tuple[str, int | None, str, str | None, str | None, str]:
    """The parts of a reference, in the order of its fields; raises `InvalidImage`."""
    check_text(text)
    scheme, rest = split_scheme(text)
    if scheme is not None:
        what = f"Image references have no scheme, so “{scheme}://” can't be part of one."
        raise _refuse(what, "Write host/path.")
    if _IMAGE_ID.fullmatch(text):
        raise _refuse(
            "64 hexadecimal digits are an image's ID, which no registry serves.",
            "Write the image's repository, with its tag or digest.",
        )
    name, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _digest_problem(name, digest)
    first, slash, rest = name.partition("/")
    # A lone `example.com:5000` is a name and its tag, as Docker reads it.
    has_host = bool(slash) and looks_like_host(first)
    written, remainder = (first, rest) if has_host else (HUB, name)
    host, port = parse_authority(written)
    path, colon, tag = remainder.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise _refuse(
            "What follows the “:” isn't a tag.",
            "Tags have at most 128 letters, digits, “_”, “.” and “-”,"
            " and don't begin with “.” or “-”.",
        )
    if not _PATH.fullmatch(path):
        raise _bad_path(text, path, has_host)
    if (host, port) == (HUB, None) and "/" not in path:
        path = f"library/{path}"
    check_path_length(path)
    return host, port, path, tag or None, digest or None, written


def _told(text: str, refused: InvalidImage) -> InvalidImage:
    """The refusal, with what was pasted instead and the reference in it, where that is
    known."""
    found = unwrapped(text)
    if found is None:
        return _with_placeholder(text) or refused
    suggestion = _suggested(found)
    problem = refused.problem
    what = problem.what if split_scheme(text)[0] is not None else found.what
    return _refuse(what, f"Write {suggestion}." if suggestion else "Write host/path.", suggestion)


def _with_placeholder(text: str) -> InvalidImage | None:
    if not has_placeholder(text):
        return None
    what = "Something in it only stands for what is to be written there."
    return _refuse(what, "Write it with your own names in their places.")


def _suggested(found: Pasted) -> str | None:
    # A lone host would parse, but as the name of a Docker Hub image.
    is_host = "/" not in found.meant and looks_like_host(found.meant.partition(":")[0])
    return None if is_host or not found.meant else _corrected(found.meant)


def _digest_problem(name: str, digest: str) -> InvalidImage:
    lowered = digest.lower()
    what = "What follows the “@” isn't a digest that clients take."
    if _DIGEST.fullmatch(lowered):
        suggestion = _corrected(f"{name}@{lowered}")
        if suggestion:
            return _refuse(f"{what} They are in lower case.", f"Write {suggestion}.", suggestion)
    return _refuse(
        what,
        "Write it like @sha256: and 64 hexadecimal digits (sha384: 96, sha512: 128), in lower "
        "case, or leave it out.",
    )


def _bad_path(text: str, path: str, has_host: bool) -> InvalidImage:
    lowered = path.lower()
    if lowered == path:
        return _refuse(
            "The repository's path isn't well formed.",
            "Its parts, between “/”, are lower-case letters and digits,"
            " joined by “.”, “_”, “__” or dashes.",
        )
    # Without a host it may be anything, a secret in the wrong field for one: not echoed.
    suggestion = _corrected(text.replace(f"/{path}", f"/{lowered}", 1)) if has_host else None
    return _refuse(
        "The path of a repository is in lower case.",
        f"Write {suggestion}." if suggestion else "Write it in lower-case letters.",
        suggestion,
    )


def _corrected(text: str) -> str | None:
    """`text` if it parses as it is, else what its refusal suggests."""
    try:
        _parse(text)
    except InvalidImage as refused:
        return refused.problem.suggestion
    return text


def _refuse(what: str, fix: str, suggestion: str | None = None) -> InvalidImage:
    return InvalidImage(Problem("invalid_image", what, fix, suggestion=suggestion))

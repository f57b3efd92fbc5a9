"""Match patterns: which images an entry serves, and which of two is more specific.

Rules 2 to 4 of DESIGN «Matching». Hosts and paths are read by the same code as
those of images, so that the two normal forms can't drift apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Self, TypeAlias

from .images import (
    COMPONENT,
    HUB,
    ImageReference,
    InvalidImage,
    Server,
    check_path_length,
    check_text,
    join_authority,
    looks_like_host,
    parse_authority,
    split_authority,
)
from .pasted import has_placeholder, split_scheme, unwrapped
from .problems import Problem, Refused
from .shared_hosts import is_shared
from .web_sites import Site, site_of

SegmentRank: TypeAlias = tuple[int, int]
Rank: TypeAlias = tuple[int, tuple[SegmentRank, ...]]

# Rule 4, for one place in the path. END closes the rank of a path that ends there,
# so ranks of different lengths never have one as the beginning of another.
END: SegmentRank = (4, 0)
LITERAL: SegmentRank = (3, 0)
PARTIAL = 2
ANY_SEGMENT: SegmentRank = (1, 0)
EVERYTHING_BELOW: SegmentRank = (0, 0)

# What isn't shaped like a tag or digest may be a password: not echoed.
_SHOWABLE_TAG = re.compile(
    r"(:[A-Za-z0-9_*][A-Za-z0-9_.*-]{0,127})?(@[a-z0-9]{1,20}:[A-Fa-f0-9*]{0,128})?"
)


class InvalidPattern(Refused):
    """Not a match pattern.

    Codes: `bare_host`, `scheme_in_pattern`, `tag_in_pattern`, `not_a_registry_host`,
    `invalid_pattern`; the problem's field is "patterns".
    """


@dataclass(frozen=True)
class MatchPattern:
    """Which repositories of which registries an entry serves.

    `text` is the pattern as given and takes no part in equality. `host` may begin
    with a `*.` that stands for one label. A last segment `*` means the path
    before it and everything below that.
    """

    text: str = field(compare=False)
    host: str
    port: int | None
    segments: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a pattern; `str()` of the result parses to an equal one.

        Raises `InvalidPattern`, with the corrected pattern where there is one.
        Surrounding blanks are refused: whoever takes input strips it. A web site's host
        that is written like a registry's is a pattern: see `not_a_registry`.
        """
        try:
            return cls._plainly(text)
        except InvalidPattern as refused:
            raise _told(text, refused.problem) from None

    @classmethod
    def _plainly(cls, text: str) -> Self:
        """`parse`, but for what something else may have been pasted for."""
        try:
            return cls(text, *_parse(text))
        except InvalidImage as refused:
            problem = replace(refused.problem, code="invalid_pattern", field="patterns")
            raise InvalidPattern(problem) from None

    @property
    def authority(self) -> str:
        """`host[:port]`, as an index key."""
        return join_authority(self.host, self.port)

    @property
    def host_is_wildcard(self) -> bool:
        return self.host.startswith("*.")

    @property
    def has_wildcard_path(self) -> bool:
        return any("*" in segment for segment in self.segments)

    @property
    def literal_prefix(self) -> str:
        """The leading segments without a `*`, joined by `/`, as an index key."""
        wild = (index for index, segment in enumerate(self.segments) if "*" in segment)
        return "/".join(self.segments[: next(wild, None)])

    def matches(self, image: ImageReference) -> bool:
        """Whether host, port and path fit; tag and digest never matter."""
        if self.port != image.port or not self._matches_host(image.host):
            return False
        wanted, found = self.segments, image.segments
        if wanted[-1] == "*":
            wanted = wanted[:-1]
            found = found[: len(wanted)]
        return len(wanted) == len(found) and all(map(segment_matches, wanted, found))

    @property
    def rank(self) -> Rank:
        """How specific host and path are, greater is more (rule 4).

        Two patterns may share a rank; environment and text decide after it.
        """
        *before, last = self.segments
        if last == "*":
            path = [*map(_segment_rank, before), EVERYTHING_BELOW]
        else:
            path = [*map(_segment_rank, self.segments), END]
        return (0 if self.host_is_wildcard else 1, tuple(path))

    @property
    def specificity(self) -> tuple[Rank, str]:
        """A total order, greater is more specific: equal only for equal patterns."""
        return (self.rank, str(self))

    def __str__(self) -> str:
        return f"{self.authority}/{'/'.join(self.segments)}"

    def _matches_host(self, host: str) -> bool:
        if self.host_is_wildcard:
            return self.host.removeprefix("*.") == host.partition(".")[2]
        return self.host == host


def index_keys(image: ImageReference) -> tuple[list[str], list[str]]:
    """`(authorities, literal prefixes)` that a pattern matching `image` must have.

    What isn't found under these keys can't match, so a lookup needs no scan.
    """
    prefixes = ["", *accumulate(image.segments, lambda prefix, segment: f"{prefix}/{segment}")]
    return host_keys(image), prefixes


def host_keys(wanted: ImageReference | Server) -> list[str]:
    """The authorities that a pattern on this host must have, the literal one first."""
    authorities = [wanted.authority]
    parent = wanted.host.partition(".")[2]
    if parent:
        authorities.append(join_authority(f"*.{parent}", wanted.port))
    return authorities


def segment_matches(pattern: str, segment: str) -> bool:
    """Whether one path segment fits, each `*` being any number of characters.

    Taking each piece at its first place is enough, so the time is that of one
    pass; a regular expression would try all ways.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == segment
    *middle, last = rest
    if len(segment) < len(first) + len(last) or not segment.startswith(first):
        return False
    at, end = len(first), len(segment) - len(last)
    for piece in middle:
        at = segment.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return segment.endswith(last)


def readable(texts: Iterable[str]) -> list[MatchPattern]:
    """Those of the stored patterns that are ones; what older rules let in matches nothing."""
    found = []
    for text in texts:
        try:
            found.append(MatchPattern.parse(text))
        except Refused:
            continue
    return found


def _segment_rank(segment: str) -> SegmentRank:
    if segment == "*":
        return ANY_SEGMENT
    if "*" in segment:
        return (PARTIAL, len(segment) - segment.count("*"))
    return LITERAL


def not_a_registry(pattern: MatchPattern) -> Problem | None:
    """What is wrong with a pattern whose host, or path on it, is a web site's; None where
    it may be a registry's. Stored patterns may have one: they stay what they are."""
    site = _site_of(pattern)
    if site is None:
        return None
    shown = f"{pattern.host}/{pattern.segments[0]}" if site.is_page else pattern.host
    suggestion = _corrected(site.meant) if site.meant else None
    # An address may lead to a page once more, however it was written.
    if suggestion and _site_of(MatchPattern._plainly(suggestion)):
        suggestion = None
    return _instead("not_a_registry_host", f"{shown} is {site.name}.", suggestion)


def _site_of(pattern: MatchPattern) -> Site | None:
    return site_of(pattern.host, "/".join(pattern.segments)) if pattern.port is None else None


def _told(text: str, problem: Problem) -> InvalidPattern:
    """The refusal, with what was pasted instead and the pattern in it, where that is known;
    never with a pattern that would be refused next."""
    found = unwrapped(text)
    if found is not None:
        what = problem.what if problem.code == "scheme_in_pattern" else found.what
        code = problem.code if problem.code == "scheme_in_pattern" else "invalid_pattern"
        suggestion = _corrected(found.meant) if found.meant else None
        problem = _instead(code, what, suggestion, named=suggestion is None or suggestion in text)
    elif has_placeholder(text):
        what = "Something in it only stands for what is to be written there."
        return _refuse(what, "Write it with your own names in their places.")
    if problem.suggestion and (site := not_a_registry(MatchPattern._plainly(problem.suggestion))):
        problem = site if problem.code == "bare_host" else replace(site, code=problem.code)
    return InvalidPattern(problem)


def _instead(code: str, what: str, suggestion: str | None, *, named: bool = False) -> Problem:
    """The problem of something that isn't a pattern, with what to write; `named` where that
    stood in it, so that it's told as it is."""
    if suggestion is None:
        fix = "Write the host that images are pulled from, and their path, as in docker pull."
    elif not named and suggestion.endswith("/*") and suggestion.count("/") == 1:
        fix = _for_all_of(suggestion.removesuffix("/*"))
    else:
        fix = f"Write {suggestion}."
    return Problem(code, what, fix, "patterns", suggestion)


def _for_all_of(authority: str) -> str:
    """How to write a pattern for a whole host, of which no part was named."""
    if not is_shared(authority):
        return f"Write {authority}/* to cover everything in it."
    return f"Write whose images, such as {authority}/your-team/*; {authority}/* covers everybody's."


def _parse(text: str) -> tuple[str, int | None, tuple[str, ...]]:
    """Give normalized `(host, port, segments)`; raise `InvalidPattern` or `InvalidImage`."""
    check_text(text)
    scheme, _ = split_scheme(text)
    if scheme is not None:
        what = f"Patterns have no scheme, so “{scheme}://” can't be part of one."
        raise _suggest("scheme_in_pattern", what, None)
    written, path = _split_host(text.removesuffix(":*"))
    path, tag = _split_tag(path)
    if tag:
        untagged = f"{written}/{path}" if written else path
        shown = tag if _SHOWABLE_TAG.fullmatch(tag) else f"{tag[0]}…"
        what = f"Patterns match repositories, not tags, so “{shown}” can't be part of one."
        raise _suggest("tag_in_pattern", what, _corrected(untagged), "; it covers every tag")
    host, port = _parse_host(written) if written else (HUB, None)
    if written and not path:
        what = f"{written} names a registry but no images."
        authority = join_authority(host, port)
        meant = authority if is_shared(authority) else written
        raise InvalidPattern(
            Problem("bare_host", what, _for_all_of(meant), "patterns", f"{meant}/*")
        )
    segments = path.split("/")
    if not written and "*" in segments[0]:
        raise _refuse(
            "Without a host, the first part names someone on Docker Hub, so it can't have a “*”.",
            "Begin with the host that images are pulled from.",
        )
    _check_segments(text, segments)
    if (host, port) == (HUB, None) and len(segments) == 1 and segments != ["*"]:
        segments.insert(0, "library")
    check_path_length("/".join(segments))
    return host, port, tuple(segments)


def _split_host(text: str) -> tuple[str, str]:
    """`(host as written, the rest)`; the host is empty where Docker Hub is meant.

    Unlike in an image, a lone `registry.example.com` is a host: as a Docker Hub
    name it would be a strange thing to grant, and as a host a common mistake.
    """
    first, slash, rest = text.partition("/")
    if slash:
        return (first, rest) if looks_like_host(first) else ("", text)
    name = first.partition(":")[0]
    is_host = "." in name or name == "localhost" or first.startswith("[")
    return (first, "") if is_host else ("", text)


def _split_tag(path: str) -> tuple[str, str]:
    """`(path, tag or digest with its sign)`; the latter is empty where there is none."""
    match = re.search("[:@]", path)
    return (path[: match.start()], path[match.start() :]) if match else (path, "")


def _parse_host(written: str) -> tuple[str, int | None]:
    """Normalize a host whose first label may be `*`."""
    if "*" not in written:
        return parse_authority(written)
    parent = written.removeprefix("*.")
    if "*" in parent:
        raise _refuse(
            "In a host, “*” can only stand for the whole part before the first dot.",
            "Write such a host in full, or begin it with “*.”.",
        )
    host, port = split_authority(parent)
    # `*.com` is no one's, and what `*.0.0.1` covers are other people's machines.
    if "." not in host or host.rpartition(".")[2].isdigit():
        raise _refuse(
            "Such a wide “*” in a host could send a login to strangers.",
            "Leave at least two parts of a name after it, or write the host in full.",
        )
    return f"*.{host}", port


def _check_segments(text: str, segments: Sequence[str]) -> None:
    """Raise `InvalidPattern` unless each segment, its `*` filled in, could be a path's."""
    path = "/".join(segments)
    if "**" in path:
        what = "“**” isn't known here: “*” stays within one part, a last “/*” covers all below."
        raise _suggest("invalid_pattern", what, _corrected(re.sub(r"\*+", "*", text)))
    if path.endswith("/"):
        what = "A pattern doesn't end with “/”."
        below = _corrected(f"{text.rstrip('/')}/*")
        raise _suggest("invalid_pattern", what, below, " to cover everything below")
    if path != path.lower():
        # Without a host it may be anything, a secret in the wrong field for one: not echoed.
        host, rest = _split_host(text)
        lowered = _corrected(f"{host}/{rest.lower()}") if host else None
        raise _suggest("invalid_pattern", "The path of a repository is in lower case.", lowered)
    # A letter fits wherever something could: what it can't mend, nothing matches.
    if not all(COMPONENT.fullmatch(segment.replace("*", "a")) for segment in segments):
        raise _refuse(
            "The pattern's path isn't well formed.",
            "Its parts, between “/”, are lower-case letters and digits,"
            " joined by “.”, “_”, “__” or dashes, and “*”.",
        )


def _corrected(text: str) -> str | None:
    """`text` if it parses as it is, else what its refusal suggests."""
    try:
        MatchPattern._plainly(text)
    except InvalidPattern as refused:
        return refused.problem.suggestion
    return text


def _suggest(code: str, what: str, suggestion: str | None, why: str = "") -> InvalidPattern:
    fix = f"Write {suggestion}{why}." if suggestion else "Write host/path, or host/path/*."
    return InvalidPattern(Problem(code, what, fix, "patterns", suggestion))


def _refuse(what: str, fix: str) -> InvalidPattern:
    return InvalidPattern(Problem("invalid_pattern", what, fix, "patterns"))

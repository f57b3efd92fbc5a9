"""Which images an entry makes usable: its repositories, and the newest tags of each.

Asked of the registry whenever someone looks; nothing is kept. A key that may not list
repositories, as one with a narrowed policy, still shows those that are named to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import TypeVar

from django.db import connection

from orgs.models import RegistryEntry
from orgs.outside import give_back_connection
from orgs.registries.distribution import RegistryApi
from orgs.registries.images import ImageReference, looks_like_host
from orgs.registries.pattern_help import example_image
from orgs.registries.patterns import MatchPattern
from orgs.registries.private import whole
from orgs.registries.problems import Failed, Problem, Refused
from orgs.registries.types import MOST_LISTED, DockerLogin, Image, ImageLister, RegistryType
from orgs.services.entries.validating import patterns_of, type_of
from orgs.services.logins import minting
from orgs.services.upstream import calls

from .verifying import registry_api

T = TypeVar("T")
SECONDS = 8.0  # for all that is asked together
THREADS = 5
PAGE_SIZE = 10
TAGS_EACH = 3
TAGS_OF_ONE = 20
# What is so for one repository only; anything else would be told of each of them.
_OF_ONE = frozenset({"image_denied", "image_not_found", "listing_denied"})

# Elsewhere these are asked again by themselves; here it's for the person to do.
_FIXES = {
    "throttled": "Look again in a minute.",
    "registry_unreachable": "Look again in a minute; if it lasts, verify the entry.",
}


@dataclass(frozen=True)
class Repository:
    """A repository with its newest tags, as many as were wanted.

    `more` says that it has others; `cut` that so many are there that newer ones may
    have been missed. `problem` is why its tags aren't known.
    """

    name: str
    images: tuple[Image, ...] = ()
    more: bool = False
    cut: bool = False
    problem: Problem | None = None


@dataclass(frozen=True)
class Listing:
    """What someone sees of an entry's images on one host.

    `authority` is the host looked at, "" where the patterns leave it open; `hosts` are
    all that may be chosen. `open` says that the patterns there leave repositories open,
    so that one may be asked for by its name; `suggested` is what that begins with, and
    `chosen` the one asked for. `denied` is set where repositories may not be listed,
    `problem` where the registry didn't answer, or not in time. `cut` says that it has
    more repositories than are read, `dated` whether it tells when an image was pushed.
    """

    authority: str
    hosts: tuple[str, ...]
    open: bool = True
    repositories: tuple[Repository, ...] = ()
    page: int = 1
    pages: int = 1
    chosen: str = ""
    suggested: str = ""
    denied: Problem | None = None
    problem: Problem | None = None
    cut: bool = False
    dated: bool = True

    @property
    def tags(self) -> int:
        """How many of them are on this page."""
        return sum(len(repository.images) for repository in self.repositories)

    @property
    def previous(self) -> int | None:
        return self.page - 1 if self.page > 1 else None

    @property
    def next(self) -> int | None:
        return self.page + 1 if self.page < self.pages else None


def images_of(
    entry: RegistryEntry,
    repository: str = "",
    page: int = 1,
    *,
    host: str = "",
    private: bool = False,
) -> Listing:
    """The images on one of the entry's hosts, 10 repositories a page, or of one repository.

    Blocking, `SECONDS` at most. `repository` is a path, or begins with its host;
    `host` is the host[:port] to look at, else the first that the patterns name in full.
    Raises `Refused` where there is nothing to ask (`disabled`, `checked_on_workers`,
    `unknown_type`) or the name is none of the entry's (field "repository"), and
    `Failed` busy. Sentences have their `private` parts, or not.
    """
    kind = _listable(entry)
    assert not connection.in_atomic_block, "a registry is never called inside a transaction"
    patterns = patterns_of(entry)
    hosts = tuple(dict.fromkeys(p.authority for p in patterns if not p.host_is_wildcard))
    authority = host if host in hosts else next(iter(hosts), "")
    chosen = ""
    if repository.strip():
        named = _named(repository.strip(), authority, patterns, kind)
        authority, chosen = named.authority, named.path
    if not authority:
        return Listing("", hosts)
    wild = [p for p in _on(authority, patterns) if p.has_wildcard_path]
    suggested = next((p.literal_prefix for p in wild if p.literal_prefix), "")
    empty = Listing(authority, hosts, bool(wild), chosen=chosen, suggested=suggested)
    look = _Look(patterns, authority, private)
    with calls.looking(entry, listing=True):
        try:
            lister = _lister(kind, entry, minting.revealed(entry), authority, look.end)
            return look.through(lister, empty, page)
        except Failed as error:
            return replace(empty, problem=look.told(error))


def _listable(entry: RegistryEntry) -> RegistryType:
    kind = type_of(entry)
    calls.require_real(entry)
    if kind.completed_on_worker:
        what = "Only workers can see these images: the entry uses the worker's own role."
        fix = "List them where that role works, such as on a worker."
        raise Refused(Problem("checked_on_workers", what, fix))
    if not entry.enabled:
        what = f"{entry} is disabled, so its registry isn't asked."
        raise Refused(Problem("disabled", what, "Enable it to see its images."))
    return kind


def _named(
    text: str, authority: str, patterns: Sequence[MatchPattern], kind: RegistryType
) -> ImageReference:
    """The image of that name among those that the entry serves; raises `Refused`."""
    first, slash, _ = text.partition("/")
    # A path may begin like a host (`my.team/train`), so what isn't one's host is read on.
    readings = [text] if not authority or (slash and looks_like_host(first)) else []
    readings += [f"{authority}/{text}"] if authority else []
    found = [image for reading in readings if (image := _parsed(reading))]
    served = (image for image in found if any(p.matches(image) for p in patterns))
    if (image := next(served, None)) is not None:
        return image
    if not found:
        what, code = "This isn't the name of a repository.", "repository_shape"
        on = patterns if not authority else _on(authority, patterns)
        example = example_image(on[0], authority or kind.example_host(on[0])).partition(":v")[0]
        fix = "Write it as in an image: what stands after the host, or all of it"
        fix += f", like {example}." if example else "."
    else:
        what, code = "This repository isn't among those that this entry serves.", "image_elsewhere"
        fix = "Name one that its match pattern covers."
    raise Refused(Problem(code, what, fix, "repository"))


def _parsed(text: str) -> ImageReference | None:
    try:
        return ImageReference.parse(text)
    except Refused:
        return None


def _lister(
    kind: RegistryType,
    entry: RegistryEntry,
    secrets: dict[str, str],
    authority: str,
    deadline: float,
) -> ImageLister:
    """The provider's own listing where it has one, else the registry's."""
    give_back_connection()
    ask = calls.asked(kind, authority, deadline, entry)
    lister = kind.lister(entry.config, secrets, ask)
    if lister is not None:
        return lister
    login = calls.ask_for_login(kind, entry.config, secrets, ask)
    assert isinstance(login, DockerLogin)
    return _OfRegistry(registry_api(entry, kind, authority, login, deadline))


class _OfRegistry:
    """`ImageLister` by the registry's own API, which tells neither times nor sizes."""

    def __init__(self, api: RegistryApi) -> None:
        self._api = api
        api.answers()  # now, so that threads find it settled

    def repositories(self) -> list[str]:
        return sorted(self._api.repositories())

    def images(self, repository: str) -> list[Image]:
        """Last first: registries sort by name or by age."""
        return [Image(repository, tag) for tag in reversed(self._api.tags(repository))]


class _Look:
    """One look at a host: what the entry serves there, until when to ask, how to tell."""

    def __init__(self, patterns: Sequence[MatchPattern], authority: str, private: bool) -> None:
        self.end = time.monotonic() + SECONDS
        self._patterns = patterns
        self._authority = authority
        self._private = private

    def told(self, error: Failed) -> Problem:
        """The error as whoever looks may read it."""
        what = whole(error.told) if self._private else error.what
        fix = error.fix if error.mended_elsewhere else _FIXES.get(error.code, error.fix)
        return Problem(error.code, what, fix)

    def through(self, lister: ImageLister, empty: Listing, page: int) -> Listing:
        """`empty`, filled in. Raises `Failed` where not even names come of it."""
        names, denied, cut = [empty.chosen], None, False
        if not empty.chosen:
            names, denied, cut = self._names(lister)
        pages = max(1, ceil(len(names) / PAGE_SIZE))
        page = min(max(1, page), pages)
        shown = names[(page - 1) * PAGE_SIZE :][:PAGE_SIZE]
        most = TAGS_OF_ONE if empty.chosen else TAGS_EACH
        repositories, problem = self._repositories(lister, shown, most)
        return replace(
            empty,
            repositories=repositories,
            page=page,
            pages=pages,
            denied=denied,
            problem=problem,
            cut=cut,
            dated=not isinstance(lister, _OfRegistry),
        )

    def _names(self, lister: ImageLister) -> tuple[list[str], Problem | None, bool]:
        """(repositories that the entry serves, why others aren't known, whether too many)."""
        here = _on(self._authority, self._patterns)
        names = {"/".join(p.segments) for p in here if not p.has_wildcard_path}
        if all(not p.has_wildcard_path for p in here):
            return sorted(names), None, False
        try:
            listed = lister.repositories()
        except Failed as error:
            if error.code != "listing_denied":
                raise
            return sorted(names), self.told(error), False
        names |= {name for name in listed if self._serves(name)}
        return sorted(names), None, len(listed) >= MOST_LISTED

    def _serves(self, name: str) -> bool:
        image = _parsed(f"{self._authority}/{name}")
        return image is not None and any(p.matches(image) for p in self._patterns)

    def _repositories(
        self, lister: ImageLister, names: Sequence[str], most: int
    ) -> tuple[tuple[Repository, ...], Problem | None]:
        """Each with its newest tags; and what went wrong with the registry itself."""
        asked = _together([partial(lister.images, name) for name in names], self.end)
        found, wrong = [], None
        for name, future in zip(names, asked, strict=True):
            error = _late() if future.cancelled() or not future.done() else future.exception()
            if error is None:
                found.append(self._repository(name, future.result(), most))
            elif not isinstance(error, Failed):
                raise error
            elif error.code in _OF_ONE:
                found.append(Repository(name, problem=self.told(error)))
            else:
                wrong = wrong or self.told(error)
                unknown = Problem(error.code, "Its tags aren't known, for the reason above.")
                found.append(Repository(name, problem=unknown))
        if wrong and all(each.problem and each.problem.code not in _OF_ONE for each in found):
            found = []
        return tuple(found), wrong

    def _repository(self, name: str, images: list[Image], most: int) -> Repository:
        usable = [i for i in images if _parsed(f"{self._authority}/{i.repository}:{i.tag}")]
        cut = len(images) >= MOST_LISTED
        return Repository(name, tuple(usable[:most]), more=len(usable) > most, cut=cut)


def _on(authority: str, patterns: Sequence[MatchPattern]) -> list[MatchPattern]:
    """Those for images of a host in full, `host[:port]`."""
    also = f"*.{authority.partition('.')[2]}"
    return [p for p in patterns if p.authority in (authority, also)]


def _together(calls: Sequence[Callable[[], T]], end: float) -> list[Future[T]]:
    """Some at a time; by the end (monotonic) those that aren't done are left alone."""
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="images")
    try:
        asked = [pool.submit(call) for call in calls]
        wait(asked, timeout=max(0.0, end - time.monotonic()))
        return asked
    finally:
        # A call under way ends by itself, at the same end.
        pool.shutdown(wait=False, cancel_futures=True)


def _late() -> Failed:
    return Failed(
        "registry_unreachable",
        f"The registry didn't tell everything within {SECONDS:.0f} seconds.",
    )

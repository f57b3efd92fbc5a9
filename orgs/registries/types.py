"""What a registry type is: its fields, its rules, and what a login is."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, final

from .codes import Code
from .patterns import MatchPattern
from .problems import Problem, Refused, text_problem
from .text import REPLACEMENT, has_control


@dataclass(frozen=True)
class DockerLogin:
    """A username and password for `docker login`; times are aware UTC.

    `expires_at` is None for static passwords. The server isn't part of it: the
    same login answers for the host as each client wrote it.
    """

    username: str
    password: str = field(repr=False)
    expires_at: datetime | None


@dataclass(frozen=True)
class InstanceRoleLogin:
    """What a worker needs to log in with its own role; no secret in it."""

    role_name: str
    region: str


@dataclass(frozen=True)
class Image:
    """A tag as a registry lists it; what the registry doesn't tell is None.

    `repository` is the path alone, `pushed_at` aware UTC, `size` in bytes as pulled
    (compressed).
    """

    repository: str
    tag: str
    pushed_at: datetime | None = None
    size: int | None = None


@dataclass(frozen=True)
class Ask:
    """What a login is asked for: a normalized host, until when in `time.monotonic()` seconds,
    and what stands in for the provider (CONTRACT, AWS_ENDPOINT_URL), "" for nothing."""

    host: str
    deadline: float
    endpoint_url: str = ""


class ImageLister(Protocol):
    """What a registry lists for a key. Blocking, usable by several threads; each method
    raises `Failed`, and gives at most `MOST_LISTED`."""

    def repositories(self) -> list[str]:
        """The repositories' paths, sorted. Raises also `listing_denied`: pulling doesn't
        need the right to list."""

    def images(self, repository: str) -> list[Image]:
        """A repository's tags, newest first as far as that is known. Raises also
        `image_not_found` and `image_denied` or `listing_denied`."""


MOST_LISTED = 1000


@dataclass(frozen=True)
class Field:
    """One input of a registry type, declared once for form, API and import.

    `secret` fields are sealed and never shown again; `paired_with` names the
    public field that identifies the same key: changing that needs the secret
    anew (DESIGN, rule 6). `choices` gives (value, label) pairs when called.
    `max_length` is in characters; only with `lines` it may have line breaks.
    `echo` is a regular expression of what an import's error may repeat of it: so
    narrow that no secret in the wrong column fits; empty for nothing at all.
    """

    name: str
    label: str
    help: str = ""
    example: str = ""
    secret: bool = False
    required: bool = True
    max_length: int = 200
    lines: bool = False
    paired_with: str | None = None
    choices: Callable[[], Sequence[tuple[str, str]]] | None = None
    strips_all_blanks: bool = False
    echo: str = ""


@dataclass(frozen=True)
class AccessPolicy:
    """What someone attaches at the provider so that a type's logins may pull.

    `document` is JSON as text, indented; `command` does it in one shell command.
    `wider` holds a sentence for each pattern that the provider can't express, so
    that its part of the policy grants more; `notes` are sentences on what else there
    is to do for the policy to work.
    """

    name: str
    attach_to: str
    document: str
    command: str
    wider: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


Config = Mapping[str, str]


class RegistryType(abc.ABC):
    """One way of getting into a registry: its fields, its rules, its login.

    Subclasses are stateless and live in one module each; `catalogue.TYPES`
    lists them in the order that people see.
    """

    slug: str
    label: str
    summary: str
    """One line on when this type fits, shown under the select."""
    fields: tuple[Field, ...]
    minted: bool = False
    """True where logins expire and are cached and refreshed (`CachedLogin`)."""
    completed_on_worker: bool = False
    """True where the login is an `InstanceRoleLogin`, so that only workers see it work."""
    secret_goes_to_host: bool = False
    """True where the stored secret itself is sent to the pattern's host."""
    private_addresses: bool = False
    """True where the registry's hosts may well lead to private addresses."""
    codes: Mapping[str, Code] = {}
    """Codes that only this type raises, which `catalogue` adds to the table of `codes`."""
    denied_fixes: Mapping[str, str] = {}
    """What to do about a refusal, by its code, on a page that shows the type's policy."""

    @property
    def config_fields(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if not f.secret)

    @property
    def secret_fields(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if f.secret)

    @final
    def clean(
        self, config: Config, secrets: Config, patterns: Sequence[MatchPattern]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Check and complete what was typed; raise `Refused` with all problems.

        Gives `(config, secrets)` with exactly this type's fields, secrets only
        those that were given. What `fields` declare is held here, for every type;
        whether an absent secret is allowed is the caller's to know.
        """
        given: dict[str, object] = {**config, **secrets}
        if unreadable := list(self._unreadable(given)):
            raise Refused(*unreadable)
        cleaned = self.clean_own(config, secrets, patterns)
        if wrong := list(self._beyond_declared({**cleaned[0], **cleaned[1]})):
            raise Refused(*wrong)
        return cleaned

    @abc.abstractmethod
    def clean_own(
        self, config: Config, secrets: Config, patterns: Sequence[MatchPattern]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """A type's own part of `clean`; every value given is text that can be stored.

        Problems of patterns carry field "patterns".
        """

    @final
    def unusable(self, config: Config, secrets: Config) -> Problem | None:
        """Why no login can come of what is stored, which older rules let in; None where
        one may."""
        kept: dict[str, object] = {**config, **secrets}
        lacking = [
            Problem("required", f"{f.label} is missing.", "", f.name)
            for f in self.fields
            if f.required and not kept.get(f.name)
        ]
        return next(iter([*self._unreadable(kept), *lacking]), None)

    def _unreadable(self, given: Mapping[str, object]) -> Iterator[Problem]:
        """Values that can't be stored or weren't read right: no text, or part of one. Line
        breaks are the type's to judge, which may cut them off."""
        for declared in self.fields:
            value = given.get(declared.name, "")
            label = declared.label
            if not isinstance(value, str):
                yield Problem(
                    "not_text", f"{label} isn't text.", "Write it as text.", declared.name
                )
            elif has_control(value.strip(), lines=True) or REPLACEMENT in value:
                code = "secret_shape" if declared.secret else "control_character"
                what = f"{label} has a character in it that can't be read."
                yield Problem(code, what, "Write it again by hand.", declared.name)

    def _beyond_declared(self, cleaned: Mapping[str, str]) -> Iterator[Problem]:
        for f in self.fields:
            problem = text_problem(
                cleaned.get(f.name, ""),
                name=f.name,
                label=f.label,
                most=f.max_length,
                lines=f.lines,
            )
            if problem is not None:
                yield problem

    @abc.abstractmethod
    def secret_scope(self, config: Config, patterns: Sequence[MatchPattern]) -> frozenset[str]:
        """Where a kept secret may still go (rule 6).

        An edit may leave the secret blank only if the new scope is within the
        old one: the hosts themselves where the secret is sent to the host, the
        partition for ECR.
        """

    def login_scope(self, host: str) -> str:
        """Which of an entry's logins serves this host; "" where one serves all."""
        return ""

    def example_host(self, pattern: MatchPattern) -> str:
        """A host that the pattern covers, to try a login with."""
        return pattern.authority.replace("*", "registry", 1)

    def api_host(self, authority: str) -> str:
        """Where the registry of these images really answers, `host[:port]`."""
        return authority

    def sign_in_hosts(self, authority: str) -> frozenset[str]:
        """Hosts besides its own that a registry may send logins to for a bearer token."""
        return frozenset()

    def policy(self, config: Config, patterns: Sequence[MatchPattern]) -> AccessPolicy | None:
        """What to attach at the provider for these patterns; None where it has none."""
        return None

    def lister(self, config: Config, secrets: Config, ask: Ask) -> ImageLister | None:
        """What lists the images of a host through the provider's own API; None where there
        is only the registry's. Raises `Failed` as `login` does."""
        return None

    def prepare(self) -> None:
        """Load what `login` needs, where that takes long: before anyone waits for it."""
        return

    @abc.abstractmethod
    def login(self, config: Config, secrets: Config, ask: Ask) -> DockerLogin | InstanceRoleLogin:
        """Obtain the login; blocking, raises `Failed`.

        Only types with `minted` call a network here: the provider's own API.
        """

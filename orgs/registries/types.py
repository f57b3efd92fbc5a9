"""What a registry type is: its fields, its rules, and what a login is."""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, StrEnum, auto
from functools import cached_property
from typing import Protocol, final

from .asking import Ask as Ask
from .asking import Part as Part
from .asking import SetUp as SetUp
from .asking import Who as Who
from .codes import Code
from .fields import Blanks as Blanks
from .fields import Field as Field
from .fields import Other as Other
from .fields import Shape as Shape
from .patterns import MatchPattern
from .problems import Failed, Problem, Refused
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
class AccessPolicy:
    """What someone attaches at the provider so that a type's logins may pull.

    `document` is JSON as text, indented, "" where there is none to be attached; `command` does
    it in shell commands of the `program`, and `again` says what running it again does.
    `verb` is what the provider calls it.
    `wider` holds a sentence for each pattern that the provider can't express, so
    that its part of the policy grants more; `notes` are sentences on what else there
    is to do for the policy to work.
    """

    name: str
    attach_to: str
    document: str
    command: str
    program: str = ""
    verb: str = "Attach"
    again: str = "Run it again after changing a pattern; it replaces the policy."
    wider: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Travel(Enum):
    """How a type's login gets to the worker."""

    MINTED = auto()  # the server obtains one that expires; it's cached and refreshed
    STATIC = auto()  # the stored secret itself, so that it goes to the pattern's host
    ON_WORKER = auto()  # an `InstanceRoleLogin`, which only workers complete and see work


class Provider(StrEnum):
    """Whose API a type's logins come from; a setting NAME_ENDPOINT_URL stands in for it."""

    AWS = "AWS"
    GOOGLE = "GOOGLE"
    AZURE = "AZURE"


Config = Mapping[str, str]


@dataclass(frozen=True)
class Standing:
    """What an entry has already; of secrets only those that something is compared with."""

    config: Config
    secrets: Config = field(repr=False)
    patterns: Sequence[MatchPattern]


class RegistryType(abc.ABC):
    """One way of getting into a registry: its fields, its rules, its login.

    Subclasses are stateless and live in one module each; `catalogue.TYPES`
    lists them in the order that people see.
    """

    slug: str
    label: str
    short_label: str
    """Two or three words for a column of a list; no two types have the same."""
    summary: str
    """One sentence on when this type fits, shown under the select, and of all beside it."""
    group: str = "Any registry"
    """Under which types stand together where one is chosen: whose cloud, mostly."""
    fields: tuple[Field, ...]
    derived: tuple[Field, ...] = ()
    """What `clean_own` reads out of the secrets as they are given, and puts beside the config:
    whose key it is. Stored and shown like an identity, never asked for, taken or exported."""
    travel: Travel
    login_life: str = ""
    """How long a minted login lasts at most, in words: “12 hours”."""
    provider: Provider | None = None
    """None where nobody but the registry itself is asked."""
    private_addresses: bool = False
    """True where the registry's hosts may well lead to private addresses."""
    codes: Mapping[str, Code] = {}
    """Codes that only this type raises, which `catalogue` adds to the table of `codes`."""
    trusts_issuer: bool = False
    """True where the cloud trusts what this server signs of itself, and nothing is stored."""
    uses_own_identity: bool = False
    """True where this server's own identity at the provider takes a role of the customer's: only
    where staff switched that on."""
    proves: bool = False
    """True where it's tried once a day, and before the first login, that the other side refuses
    everybody but the entry; see `Ask`."""
    secret_ends: bool = False
    """True where whoever makes the secret mostly sets the day on which it ends."""
    trusts_own: bool = False
    """True where an entry may have certificates of its own, which also workers get."""
    authority_fix: str = ""
    """What to do where the authority of a registry's certificate isn't known to this server,
    besides having staff make it known."""
    denied_fixes: Mapping[str, str] = {}
    """What to do about a refusal, by its code, on a page that shows the type's policy."""
    example_pattern: str = ""
    """A match pattern that the type takes, as an example, from which that of an image
    follows; "" for none."""

    @cached_property
    def config_fields(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if not f.secret)

    @cached_property
    def secret_fields(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if f.secret)

    @cached_property
    def told_fields(self) -> tuple[Field, ...]:
        """All that may be shown of an entry, to whom it may."""
        return (*self.config_fields, *self.derived)

    @final
    def details(self, config: Config, *, private: bool) -> list[tuple[str, Sequence[str]]]:
        """(label, lines) of what pages tell of a config; `private` with what members don't
        see."""
        return [
            (f.label, f.told(config[f.name]) if config.get(f.name) else [])
            for f in self.told_fields
            if (private or not f.hidden_from_members) and not (f.left_out and f.name not in config)
        ]

    @final
    def logged(self, config: Config) -> dict[str, str]:
        """A config as the audit log has it: what pages tell in other words, in those."""
        words = {f.name: f for f in self.told_fields}
        return {n: "\n".join(words[n].told(v)) if n in words else v for n, v in config.items()}

    @final
    def derived_of(self, config: Config) -> dict[str, str]:
        """What stands in a stored config that nobody gave."""
        return {f.name: config[f.name] for f in self.derived if f.name in config}

    @property
    def awaits_trust(self) -> bool:
        """Whether an entry works only once its other side trusts it, which is set up after it
        is saved."""
        return self.trusts_issuer or self.uses_own_identity

    @property
    def minted(self) -> bool:
        return self.travel is Travel.MINTED

    @property
    def completed_on_worker(self) -> bool:
        return self.travel is Travel.ON_WORKER

    @final
    def clean(
        self,
        config: Config,
        secrets: Config,
        patterns: Sequence[MatchPattern],
        standing: Standing | None = None,
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Check and complete what was typed; raise `Refused` with all problems.

        Gives `(config, secrets)` with exactly this type's fields, secrets only
        those that were given, and what is `derived` of these. What `fields` declare is held
        here, for every type; whether an absent secret is allowed is the caller's to know.
        What an entry of this type has already is `standing`: it stays as it is, and what
        today's rules have against it isn't held against a change of something else.
        """
        given: dict[str, object] = {**config, **secrets}
        if unreadable := list(self._unreadable(given)):
            raise Refused(*unreadable)
        stays = self._stays(given, standing) if standing else frozenset()
        public, sealed, problems = self._judge(config, secrets, patterns, stays)
        if problems and standing:
            problems = self._newly_wrong(problems, stays, patterns, standing)
        if problems:
            raise Refused(*sorted(problems, key=self._place))
        return public, sealed

    @final
    def told_today(
        self, config: Config, secrets: Config, patterns: Sequence[MatchPattern]
    ) -> list[Problem]:
        """What today's rules have against what is stored, as it is."""
        if unreadable := list(self._unreadable({**config, **secrets})):
            return unreadable
        everything = frozenset(f.name for f in self.fields)
        *_, problems = self._judge(config, secrets, patterns, everything)
        return sorted(problems, key=self._place)

    @final
    def mends(self, config: Config, secrets: Config) -> bool:
        """Whether `clean` takes something for what was meant by it."""
        given = {**config, **secrets}
        texts = [(f, str(given.get(f.name, ""))) for f in self.fields]
        return any(f.meant(text) != f.typed(text) for f, text in texts)

    def clean_own(
        self, config: dict[str, str], secrets: dict[str, str], patterns: Sequence[MatchPattern]
    ) -> tuple[dict[str, str], dict[str, str], list[Problem]]:
        """A type's own part of `clean`: what its fields can't declare. Gives what to store,
        and what is wrong.

        Every value given is as meant, its blanks cut; one may be empty, or of another
        shape than is declared. Problems of patterns carry field "patterns".
        """
        return config, secrets, []

    def _judge(
        self,
        config: Config,
        secrets: Config,
        patterns: Sequence[MatchPattern],
        stays: frozenset[str],
    ) -> tuple[dict[str, str], dict[str, str], list[Problem]]:
        """(config, secrets, problems) of what was typed; fields of `stays` aren't mended."""
        given = {**config, **secrets}
        texts = [(f, str(given.get(f.name, ""))) for f in self.fields]
        typed = {f.name: f.typed(t) if f.name in stays else f.meant(t) for f, t in texts}
        public = {f.name: typed[f.name] for f in self.config_fields}
        sealed = {f.name: typed[f.name] for f in self.secret_fields if typed[f.name]}
        public, sealed, own = self.clean_own(public, sealed, patterns)
        cleaned = {**public, **sealed}
        declared = [f.problem(cleaned.get(f.name, "")) for f in self.fields]
        # The type knows better what was meant.
        told = {problem.field for problem in own}
        left_out = {f.name for f in self.config_fields if f.left_out and not public.get(f.name)}
        public = {name: value for name, value in public.items() if name not in left_out}
        return public, sealed, [p for p in declared if p and p.field not in told] + own

    def _stays(self, given: Mapping[str, object], standing: Standing) -> frozenset[str]:
        """The fields that are given as they stand."""
        stands = {**standing.config, **standing.secrets}
        return frozenset(
            f.name
            for f in self.fields
            if f.typed(str(given.get(f.name, ""))) == stands.get(f.name, "")
        )

    def _newly_wrong(
        self,
        problems: Sequence[Problem],
        stays: frozenset[str],
        patterns: Sequence[MatchPattern],
        standing: Standing,
    ) -> list[Problem]:
        """Those of the problems that come with the change. A field that changed is judged
        anew; of patterns those that the entry has already have theirs."""
        had = {str(pattern) for pattern in standing.patterns}
        kept = [pattern for pattern in patterns if str(pattern) in had]
        secrets = {name: value for name, value in standing.secrets.items() if name in stays}
        *_, before = self._judge(
            standing.config, secrets, kept, frozenset(f.name for f in self.fields)
        )
        excused = Counter(p for p in before if p.field in stays or p.field == "patterns")
        found = []
        for problem in problems:
            if excused[problem]:
                excused[problem] -= 1
            else:
                found.append(problem)
        return found

    def _place(self, problem: Problem) -> int:
        names = [f.name for f in self.fields]
        return names.index(problem.field) if problem.field in names else len(names)

    @final
    def refused_patterns(self, patterns: Sequence[MatchPattern]) -> list[Problem]:
        """What the type has against patterns, whatever its fields will say."""
        try:
            self.clean({}, {}, patterns)
        except Refused as refused:
            return [problem for problem in refused.problems if problem.field == "patterns"]
        return []

    @final
    def fitting(self, problem: Problem) -> Problem:
        """The problem of a pattern that suggests another, told so that the type takes what
        is suggested; without a suggestion where it takes none of that host."""
        suggested = problem.suggestion
        against = suggested and self.refused_patterns([MatchPattern.parse(suggested)])
        if not against:
            return problem
        first = against[0]
        instead = first.suggestion
        if instead and not self.refused_patterns([MatchPattern.parse(instead)]):
            return replace(problem, fix=f"Write {instead}.", suggestion=instead)
        return replace(problem, fix=str(first), suggestion=None)

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
                by_hand = "Write it again by hand."
                fix = "Give it again as plain text." if declared.lines else by_hand
                yield Problem(code, what, fix, declared.name)

    @abc.abstractmethod
    def secret_scope(self, config: Config, patterns: Sequence[MatchPattern]) -> frozenset[str]:
        """Where a kept secret may still go (rule 6).

        An edit may leave the secret blank only if the new scope is within the
        old one: the hosts themselves where the secret is sent to the host, the
        partition for ECR.
        """

    def login_scope(self, config: Config, host: str, repository: str = "") -> str:
        """Which of an entry's logins serves an image; "" where one serves all. Without a
        `repository`, that of a whole host; raises `Failed` where there is none such."""
        return ""

    def narrowed(self, config: Config) -> bool:
        """Whether each repository has a login of its own, which opens no other."""
        return False

    def host_refusal(self, config: Config, host: str) -> Failed | None:
        """Why no login of an entry goes to this host, the rule of save time held again: a
        pattern's `*` may stand for what is no registry's, and older rules let in more. Asked
        before a cached login is looked at, and by `login` itself."""
        return None

    def example_host(self, pattern: MatchPattern) -> str:
        """A host that the pattern covers: to try a login with, and for examples."""
        return pattern.authority.replace("*", "registry", 1)

    def api_host(self, authority: str) -> str:
        """Where the registry of these images really answers, `host[:port]`."""
        return authority

    def limit_image(self, authority: str) -> str:
        """The path of a public image whose HEAD tells what pulls a login has left there; ""
        where no registry of the type tells."""
        return ""

    def explained(self, config: Config, path: str, code: str, text: str) -> Failed | None:
        """What a registry's answer on an image that it doesn't give means, where the type
        knows its language: the error's code and text, "" for none, which travel no further."""
        return None

    def trusting(self, config: Config) -> str:
        """Certificates that count for the hosts of an entry (`authorities.plain`), where it
        `trusts_own`."""
        return ""

    def sign_in_hosts(self, authority: str) -> frozenset[str]:
        """Hosts besides its own that a registry may send logins to for a bearer token."""
        return frozenset()

    def worker_role(self, config: Config) -> str:
        """What workers must have to complete the login, where that is theirs to do."""
        return ""

    def policy(self, config: Config, patterns: Sequence[MatchPattern]) -> AccessPolicy | None:
        """What to attach at the provider for these patterns; None where it has none."""
        return None

    def set_up(self, config: Config, patterns: Sequence[MatchPattern], who: Who) -> SetUp | None:
        """What the other side needs to trust an entry; None where nothing has to."""
        return None

    def audience(self, config: Config, patterns: Sequence[MatchPattern]) -> str:
        """Whom this server tells who an entry is, where the cloud `trusts_issuer`."""
        return ""

    def assigned(self, who: Who) -> dict[str, str]:
        """What an entry's config has that nobody gives and that stays: names that the
        server made for it."""
        return {}

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

        Only `MINTED` ones call a network here: the provider's own API.
        """

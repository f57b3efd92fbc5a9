"""The words the whole house shares: problems, fields, registry types, logins.

Pure: nothing here touches the ORM, forms or a request.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .patterns import MatchPattern


@dataclass(frozen=True)
class Problem:
    """Something a person can mend: what happened, and what to do about it.

    `code` is stable (CONTRACT «Field codes» and the status table), `what` and
    `fix` are one sentence each and never hold a secret. `field` names the form
    field it belongs to, or is None for the whole. `suggestion` is the corrected
    value alone, where there is one.
    """

    code: str
    what: str
    fix: str = ""
    field: str | None = None
    suggestion: str | None = None

    def __str__(self) -> str:
        return f"{self.what} {self.fix}".strip()


class Refused(ValueError):
    """Raised by parsers and validators with one or more `Problem`s."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(" ".join(str(problem) for problem in problems))
        self.problems = problems

    @property
    def problem(self) -> Problem:
        return self.problems[0]

    @property
    def code(self) -> str:
        return self.problem.code


# What the transient half of the taxonomy is: asking again later may help.
TRANSIENT = frozenset({"registry_unreachable", "throttled", "clock_skew"})
# What the registry itself decided: asking again without a change won't help.
REFUSALS = frozenset({"access_denied", "invalid_key", "signature_mismatch"})


class LoginError(Exception):
    """Why there is no login: a stable code, what happened, what to do.

    `detail` is for the person, already cleaned of secrets and control
    characters. `retry_after` is in seconds, or None where waiting doesn't help.
    """

    def __init__(self, code: str, what: str, fix: str = "", retry_after: int | None = None) -> None:
        super().__init__(f"{code}: {what} {fix}".strip())
        self.code = code
        self.what = what
        self.fix = fix
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        return self.code in TRANSIENT

    @property
    def refused(self) -> bool:
        return self.code in REFUSALS

    @property
    def detail(self) -> str:
        return f"{self.what} {self.fix}".strip()


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
class Field:
    """One input of a registry type, declared once for form, API and import.

    `secret` fields are sealed and never shown again; `paired_with` names the
    public field that identifies the same key: changing that needs the secret
    anew (DESIGN, rule 6). `choices` gives (value, label) pairs when called.
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
    paired_with: str | None = None
    choices: Callable[[], Sequence[tuple[str, str]]] | None = None
    strips_all_blanks: bool = False
    echo: str = ""


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

    @property
    def config_fields(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if not f.secret)

    @property
    def secret_fields(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if f.secret)

    @abc.abstractmethod
    def clean(
        self,
        config: Config,
        secrets: Config,
        patterns: Sequence[MatchPattern],
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Check and complete what was typed; raise `Refused` with all problems.

        Gives `(config, secrets)` with exactly this type's fields, secrets only
        those that were given. Problems of patterns carry field "patterns".
        Whether an absent secret is allowed is the caller's to know.
        """

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

    @abc.abstractmethod
    def login(
        self, config: Config, secrets: Config, host: str, endpoint_url: str = ""
    ) -> DockerLogin | InstanceRoleLogin:
        """Obtain the login for a normalized host; blocking, raises `LoginError`.

        Only types with `minted` call a network here: the provider's own API, or
        what stands in for it at `endpoint_url` (CONTRACT, AWS_ENDPOINT_URL).
        """

"""What a login is asked with, and what the other side of an entry without a secret needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID, uuid4


def subject_of(organization: UUID, entry: UUID) -> str:
    """An entry's own name at every cloud, of ids that are never used again."""
    return f"organization:{organization}:entry:{entry}"


def nobodys_subject() -> str:
    """The name of an entry that isn't there, to see that it's refused."""
    return subject_of(uuid4(), uuid4())


@dataclass(frozen=True)
class Who:
    """What one entry is to clouds. `subject` is its own name there, of ids that are never used
    again, so that nobody inherits what trusts it; `issuer` the address that vouches for it, ""
    where this server has none that clouds take. `session` is what a session is called that is
    opened for it: letters, digits and `=,.@-`, 64 at most. `own_account` is this server's own
    at AWS, "" where it isn't known."""

    subject: str
    issuer: str = ""
    session: str = ""
    own_account: str = ""


@dataclass(frozen=True)
class Ask:
    """What a login is asked for: a normalized host, until when in `time.monotonic()` seconds
    over all calls, and what stands in for the type's provider, "" for nothing.

    `repository` is the path of the image, "" where only the host is known. `who` is the
    entry's own name, and `identity(audience)` a JWT that proves it to one audience, for five
    minutes; it raises `Failed`. `stranger(audience)` is one of an entry that nobody has. All
    are None outside an entry. `own` is whether this server's own identity at the provider may
    be used. `proven` is whether it was seen lately that the other side refuses everybody else;
    where it wasn't, a type that `proves` tries that, and tells `proved` what came of it.
    """

    host: str
    deadline: float
    endpoint_url: str = ""
    repository: str = ""
    who: Who | None = None
    identity: Callable[[str], str] | None = field(default=None, repr=False)
    stranger: Callable[[str], str] | None = field(default=None, repr=False)
    own: bool = False
    proven: bool = False
    proved: Callable[[bool], object] = field(default=lambda held: None, repr=False)


DOCUMENT, TERRAFORM = "JSON", "Terraform"


@dataclass(frozen=True)
class Part:
    """A piece of a set-up: what it does, in what it's written, and the text to be copied."""

    title: str
    language: str
    text: str


@dataclass(frozen=True)
class SetUp:
    """What the other side of an entry is made of, filled in for it: `facts` are (label, value)
    that anyone needs who does it by hand, `parts` does it all, in each of the languages;
    `notes` are sentences on what else is to be known, and `provider` is whose it is. Commands
    are run where someone is signed in to `account` ("AWS account 123456789012"); `ready` is a
    sentence on a shell that has all they need, "" for none, and `takes` one on how long it is
    until the other side knows."""

    provider: str
    facts: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()
    account: str = ""
    ready: str = ""
    takes: str = ""

    @property
    def commands(self) -> list[Part]:
        """What does it in a shell: one of them is enough."""
        return [part for part in self.parts if part.language not in {DOCUMENT, TERRAFORM}]

    @property
    def terraform(self) -> list[Part]:
        return [part for part in self.parts if part.language == TERRAFORM]

    @property
    def documents(self) -> list[Part]:
        """What is pasted where someone does it by hand."""
        return [part for part in self.parts if part.language == DOCUMENT]

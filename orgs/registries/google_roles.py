"""What lets a service account, or an entry by itself, pull: `gcloud` commands, filled in from
match patterns.

Artifact Registry grants whole repositories (or whole projects), never images in them: where
a pattern is narrower than that, `wider` says so.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .google_hosts import hosts_of_pattern, parse_google_host
from .patterns import MatchPattern
from .shared_hosts import owner_of
from .types import AccessPolicy

ROLE = "roles/artifactregistry.reader"
ACCOUNT = "<SERVICE_ACCOUNT_EMAIL>"
PROJECT = "<PROJECT_ID>"


@dataclass(frozen=True)
class Grant:
    """One repository, or with "" as its name all of a project's; "" as the project where no
    pattern names one."""

    project: str
    repository: str = ""
    location: str = ""

    def command(self, member: str) -> str:
        """Let a member, as grants call it, read it."""
        whom = [f"--member={member}", f"--role={ROLE}"]
        project = self.project or PROJECT
        if not self.repository:
            begins = ["gcloud", "projects", "add-iam-policy-binding", project]
            # Else gcloud asks, where the project has grants with conditions.
            options = [*whom, "--condition=None"]
        else:
            words = ["artifacts", "repositories", "add-iam-policy-binding", self.repository]
            begins = ["gcloud", *words]
            options = [f"--project={project}", f"--location={self.location}", *whom]
        return " \\\n  ".join([shlex.join(begins), *map(shlex.quote, options)])


def reader(
    patterns: Sequence[MatchPattern],
    email: str = "",
    principal: str = "",
    *,
    named_by: str = "the key",
) -> AccessPolicy:
    """For the service account `email`; without one for who grants call `principal`. Without
    either it's an account that isn't known yet, since `named_by` isn't."""
    found = _found(patterns)
    grants = granted(patterns)
    known = email or principal
    notes = [_REACH.format("this service account" if email or not known else "this identity")]
    if not found:
        begins = "What stands in <> is filled in from the match pattern"
        notes.append(f"{begins}, and from {'the entry' if known else named_by} once it's saved.")
    elif not known:
        notes.append(f"{ACCOUNT} is filled in once {named_by} is saved.")
    if found and any(grant.project == "" for grant in grants):
        notes.append(f"Run it for each project, in place of {PROJECT}: the pattern names none.")
    member = principal if principal and not email else account(email or ACCOUNT)
    return AccessPolicy(
        name=ROLE,
        verb="Grant",
        attach_to=_whose(email, principal),
        document="",
        command="\n".join(grant.command(member) for grant in grants),
        program="gcloud",
        again="Run it again after changing a pattern. What it granted before stays.",
        wider=tuple(dict.fromkeys(filter(None, (_wider(*each) for each in found)))),
        notes=tuple(notes),
    )


_REACH = (
    "What workers get opens whatever {} may read, in Cloud Storage too: give it this role and no "
    "other."
)


def _whose(email: str, principal: str) -> str:
    if email:
        return f"the service account {email}"
    return "the entry's own identity" if principal else "the service account"


def account(email: str) -> str:
    """What grants call a service account."""
    return f"serviceAccount:{email}"


def granted(patterns: Sequence[MatchPattern]) -> list[Grant]:
    """What has to be read for the patterns, each once."""
    grants = list(dict.fromkeys(grant for _, grant in _found(patterns)))
    # All of a project is its repositories too.
    whole = {grant.project for grant in grants if not grant.repository}
    return [g for g in grants if not g.repository or g.project not in whole] or [Grant("")]


def _found(patterns: Sequence[MatchPattern]) -> list[tuple[MatchPattern, Grant]]:
    return [(pattern, grant) for pattern in patterns for grant in _grants(pattern)]


def _grants(pattern: MatchPattern) -> Iterator[Grant]:
    """What a pattern on Google's hosts needs; nothing for another."""
    for host in hosts_of_pattern(pattern.host) if pattern.port is None else ():
        parsed = parse_google_host(host)
        assert parsed is not None
        project, path = _divided(host, pattern.segments)
        repository = host if parsed.container_registry else path[0] if path else ""
        known = bool(project) and "*" not in repository
        yield Grant(project, *((repository, parsed.location) if known and repository else ()))


def _divided(host: str, segments: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The project that a path begins with, "" where it is left open, and what follows it."""
    owner = owner_of(host, segments)
    if any("*" in part for part in owner):
        return "", ()
    return ":".join(owner), tuple(segments[len(owner) :])


def _wider(pattern: MatchPattern, grant: Grant) -> str:
    """The sentence on what is granted beyond the pattern; "" where nothing is."""
    wider = f"Wider than the pattern {pattern.text}:"
    if not grant.project:
        return ""
    if not grant.repository:
        return f"{wider} it grants all repositories of the project {grant.project}."
    _, path = _divided(hosts_of_pattern(pattern.host)[0], pattern.segments)
    within = path if grant.repository.endswith("gcr.io") else path[1:]
    if within in {("*",), ()}:
        return ""
    return f"{wider} it grants all images of the repository {grant.repository}."

"""What lets a service account pull, as `gcloud` commands, filled in from match patterns.

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
class _Grant:
    """One repository, or with "" as its name all of a project's; "" as the project where no
    pattern names one."""

    project: str
    repository: str = ""
    location: str = ""

    def command(self, member: str) -> str:
        whom = [f"--member=serviceAccount:{member}", f"--role={ROLE}"]
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


def reader(patterns: Sequence[MatchPattern], email: str = "") -> AccessPolicy:
    """For the service account whose key an entry holds; `email` is "" where it isn't known
    yet."""
    found = [(pattern, grant) for pattern in patterns for grant in _grants(pattern)]
    grants = list(dict.fromkeys(grant for _, grant in found))
    # All of a project is its repositories too.
    whole = {grant.project for grant in grants if not grant.repository}
    grants = [g for g in grants if not g.repository or g.project not in whole] or [_Grant("")]
    notes = [_REACH]
    if not found:
        notes.append(
            "What stands in <> is filled in from the match pattern, and from the key once "
            "it's saved."
        )
    elif not email:
        notes.append(f"{ACCOUNT} is filled in once the key is saved.")
    if "" in whole:
        notes.append(f"Run it for each project, in place of {PROJECT}: the pattern names none.")
    return AccessPolicy(
        name=ROLE,
        verb="Grant",
        attach_to=f"the service account {email}" if email else "the service account",
        document="",
        command="\n".join(grant.command(email or ACCOUNT) for grant in grants),
        program="gcloud",
        again="Run it again after changing a pattern. What it granted before stays.",
        wider=tuple(dict.fromkeys(filter(None, (_wider(*each) for each in found)))),
        notes=tuple(notes),
    )


_REACH = (
    "What workers get opens whatever this service account may read, in Cloud Storage too: give it "
    "this role and no other."
)


def _grants(pattern: MatchPattern) -> Iterator[_Grant]:
    """What a pattern on Google's hosts needs; nothing for another."""
    for host in hosts_of_pattern(pattern.host) if pattern.port is None else ():
        parsed = parse_google_host(host)
        assert parsed is not None
        project, path = _divided(host, pattern.segments)
        repository = host if parsed.container_registry else path[0] if path else ""
        known = bool(project) and "*" not in repository
        yield _Grant(project, *((repository, parsed.location) if known and repository else ()))


def _divided(host: str, segments: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The project that a path begins with, "" where it is left open, and what follows it."""
    owner = owner_of(host, segments)
    if any("*" in part for part in owner):
        return "", ()
    return ":".join(owner), tuple(segments[len(owner) :])


def _wider(pattern: MatchPattern, grant: _Grant) -> str:
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

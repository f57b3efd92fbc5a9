"""Which entry serves an image of a project, and why the others don't.

An index lookup, never a scan: one query over (organization, host, prefix) keys,
whatever the number of entries; the most specific of its few rows is chosen here,
in Python, so that every database gives the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.db.models import Q

from orgs.models import Environment, IndexedPattern, Organization, Project, RegistryEntry
from orgs.registries.catalogue import BY_SLUG
from orgs.registries.images import ImageReference, Server
from orgs.registries.patterns import MatchPattern, host_keys, index_keys, readable
from orgs.registries.problems import Failed
from orgs.registries.shared_hosts import is_shared

from .advice import Wanted, advice_on


class Verdict(StrEnum):
    SERVES = "serves it"
    LESS_SPECIFIC = "less specific"
    OTHER_REPOSITORY = "other repository"
    OTHER_ENVIRONMENT = "other environment"
    DISABLED = "disabled"


@dataclass(frozen=True)
class Served:
    """The entry that serves an image, by which of its patterns, as given.

    `authority` is the pattern's, `host[:port]`; its first label may be `*`.
    """

    entry: RegistryEntry
    pattern: str
    authority: str


@dataclass(frozen=True)
class Candidate:
    row: IndexedPattern
    verdict: Verdict


@dataclass(frozen=True)
class Explanation:
    """Every entry on the image's host and what becomes of it, the winner first."""

    served: Served | None
    candidates: list[Candidate]


def resolve(
    organization: Organization, image: ImageReference, environment: Environment | None = None
) -> Served | None:
    """The most specific enabled entry for the image, or None. One query."""
    rows = _rows(organization, image).filter(_reach(environment), enabled=True)
    matching = [(row, pattern) for row, pattern in _parsed(rows) if pattern.matches(image)]
    if not matching:
        return None
    row, pattern = max(matching, key=_order)
    return Served(row.entry, row.text, pattern.authority)


def resolve_server(
    organization: Organization, server: Server, environment: Environment | None = None
) -> Served | None:
    """The entry that serves whatever image is pulled from the server, or None where no
    entry stands on it. Two queries.

    Raises `Failed` ambiguous_server where the image would decide: several entries
    stand there, or one that doesn't cover the whole host.
    """
    hosts = host_keys(server)
    standing = IndexedPattern.objects.filter(
        _reach(environment), organization=organization, host__in=hosts, enabled=True
    )
    everything = [f"{host}/*" for host in hosts]
    covering = _with_entry(standing.filter(prefix="", normalized__in=everything))
    if not covering:
        if standing.exists():
            raise _ambiguous(
                f"The entries of {organization} on {server} serve only some of its images.",
                _ask_with_image(server),
            )
        return None
    row, pattern = max(_parsed(covering), key=_order)
    kind = BY_SLUG.get(row.entry.registry_type)
    if kind is not None and kind.narrowed(row.entry.config):
        raise _ambiguous(
            f"The entry of {organization} on {server} gives a login for one repository at a time.",
            "Ask with the image; on a worker, name it in VALOHAI_IMAGE.",
        )
    narrower = standing.exclude(normalized__in=everything).exclude(entry=row.entry_id)
    if not pattern.host_is_wildcard:
        narrower = narrower.filter(host=server.authority)
    if narrower.exists():
        raise _ambiguous(
            f"Several entries of {organization} stand on {server}, and the image decides "
            "which of them serves it.",
            "Ask with the image; on a worker, name it in VALOHAI_IMAGE.",
        )
    return Served(row.entry, row.text, pattern.authority)


def _ask_with_image(server: Server) -> str:
    """An entry for the whole host is no advice where strangers' images lie there too."""
    if is_shared(server.authority):
        return "Ask with the image; on a worker, name it in VALOHAI_IMAGE."
    return f"Ask with the image, or add an entry for {server}/*."


def _ambiguous(what: str, fix: str) -> Failed:
    return Failed("ambiguous_server", what, fix)


def organization_of(project: Project) -> Organization:
    """The project's organization; raises `Failed` personal_project, and project_not_found
    where it is archived."""
    if project.organization is None:
        raise Failed(
            "personal_project",
            f"The project “{project.name}” is personal, and personal projects can't use "
            "private registries.",
            "Move it to an organization, or use a public image.",
        )
    if project.archived_at is not None:
        raise Failed(
            "project_not_found",
            f"The project “{project.name}” is archived, so its workers get no login.",
            "Ask an org admin to bring it back, or give another project's id.",
        )
    return project.organization


def require(project: Project, wanted: Wanted, environment: Environment | None = None) -> Served:
    """As `resolve` or `resolve_server`, for a project; raises `Failed`
    personal_project, no_match or ambiguous_server, and project_not_found where it is archived
    or its organization made up: such a one's entries can be explained, but nobody served."""
    organization = organization_of(project)
    if organization.made_up:
        raise Failed(
            "project_not_found",
            f"The project “{project.name}” is one of the made-up organization {organization}, "
            "so its workers get no login.",
            "Ask with the id of a real organization's project.",
        )
    if isinstance(wanted, Server):
        served = resolve_server(organization, wanted, environment)
    else:
        served = resolve(organization, wanted, environment)
    if served is None:
        raise no_match(organization, wanted)
    return served


def no_match(organization: Organization, wanted: Wanted) -> Failed:
    return Failed(
        "no_match",
        f"No enabled entry of {organization} serves {wanted}.",
        str(advice_on(wanted)),
    )


def explain(
    organization: Organization,
    image: ImageReference,
    environment: Environment | None = None,
    limit: int = 50,
) -> Explanation:
    """The winner and every other candidate on the image's host, at most `limit`."""
    hosts, _ = index_keys(image)
    near = (
        IndexedPattern.objects.filter(organization=organization, host__in=hosts)
        .select_related("entry", "environment")
        .defer("entry__secrets")
        .order_by("-enabled", "normalized", "id")[:limit]
    )
    served = resolve(organization, image, environment)
    found: dict[int, IndexedPattern] = {row.pk: row for row in near}
    for row, _pattern in _parsed(_rows(organization, image).select_related("environment")):
        found.setdefault(row.pk, row)
    judged = []
    for row, pattern in _parsed(found.values()):
        reached = row.environment_id is None or (
            environment is not None and row.environment_id == environment.pk
        )
        if not pattern.matches(image):
            verdict = Verdict.OTHER_REPOSITORY
        elif not row.enabled:
            verdict = Verdict.DISABLED
        elif not reached:
            verdict = Verdict.OTHER_ENVIRONMENT
        else:
            verdict = Verdict.LESS_SPECIFIC
        judged.append((row, pattern, verdict))
    reaching = [(r, p) for r, p, v in judged if v is Verdict.LESS_SPECIFIC]
    winner = max(reaching, key=_order)[0] if reaching else None
    candidates = [
        Candidate(row, Verdict.SERVES if row is winner else verdict)
        for row, _pattern, verdict in judged
    ]
    rank = list(Verdict)
    candidates.sort(key=lambda c: (rank.index(c.verdict), c.row.normalized, c.row.pk))
    return Explanation(served, candidates)


def explanation_json(image: ImageReference, found: Explanation) -> dict[str, object]:
    """The explanation as one JSON document."""

    def told(candidate: Candidate) -> dict[str, object]:
        row = candidate.row
        return {
            "entry": str(row.entry_id),
            "image_pattern": row.text,
            "type": row.entry.registry_type,
            "environment": row.environment.slug if row.environment else None,
            "result": candidate.verdict,
        }

    served = found.served
    return {
        "image": str(image),
        "served_by": {
            "entry": str(served.entry.pk),
            "image_pattern": served.pattern,
            "type": served.entry.registry_type,
            "status": served.entry.status,
        }
        if served
        else None,
        "candidates": [told(candidate) for candidate in found.candidates],
    }


def _rows(organization: Organization, image: ImageReference):
    hosts, prefixes = index_keys(image)
    return _with_entry(
        IndexedPattern.objects.filter(
            organization=organization, host__in=hosts, prefix__in=prefixes
        )
    )


def _with_entry(rows):
    return rows.select_related("entry").defer("entry__note", "entry__status_detail")


def _reach(environment: Environment | None) -> Q:
    everyone = Q(environment=None)
    return everyone | Q(environment=environment) if environment else everyone


def _parsed(rows) -> list[tuple[IndexedPattern, MatchPattern]]:
    """Each row with its pattern; one that can't be read any more matches nothing."""
    return [(row, pattern) for row in rows for pattern in readable([row.normalized])]


def _order(found: tuple[IndexedPattern, MatchPattern]) -> tuple[object, ...]:
    row, pattern = found
    return order(pattern, row.environment_id, row.normalized)


def order(pattern: MatchPattern, environment_id: int | None, normalized: str) -> tuple[object, ...]:
    """Rule 4 whole: greater is more specific, and no two of an organization are equal."""
    return (pattern.rank, environment_id is not None, normalized)

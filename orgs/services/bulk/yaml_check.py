"""Every image of a `valohai.yaml`, and what serves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from orgs.models import Environment, Organization
from orgs.registries.catalogue import BY_SLUG
from orgs.registries.images import HUB, ImageReference
from orgs.services.logins.advice import Advice, advice_on
from orgs.services.logins.resolve import Served, resolve

from .files.valohai_yaml import Mention, Mentions, Warned, read_images

# Where images are usually pulled without a login. Anywhere else, an image that no
# entry serves is taken for a private one.
PUBLIC_HOSTS = frozenset(
    {
        HUB,
        "public.ecr.aws",
        "ecr-public.aws.com",
        "docker.elastic.co",
        "gcr.io",
        "ghcr.io",
        "mcr.microsoft.com",
        "nvcr.io",
        "quay.io",
        "registry.access.redhat.com",
        "registry.k8s.io",
    }
)


class Result(StrEnum):
    SERVED = "served"
    PUBLIC = "public"
    PRIVATE = "private"
    INVALID = "invalid"


@dataclass(frozen=True)
class Row:
    """One image and what becomes of it; `served` only where an entry serves it."""

    mention: Mention
    result: Result
    sentence: str
    served: Served | None = None
    advice: Advice | None = None


@dataclass(frozen=True)
class Report:
    rows: list[Row]
    warnings: list[Warned]

    @property
    def ok(self) -> bool:
        """No image is invalid, and none that looks private lacks an entry."""
        return all(row.result in {Result.SERVED, Result.PUBLIC} for row in self.rows)

    def count(self, result: Result) -> int:
        return sum(row.result is result for row in self.rows)

    @property
    def summary(self) -> str:
        """“3 images: 2 served, 1 without an entry.”"""
        named = {
            Result.SERVED: "served",
            Result.PUBLIC: "public",
            Result.PRIVATE: "without an entry",
            Result.INVALID: "not valid",
        }
        counts = [f"{n} {words}" for result, words in named.items() if (n := self.count(result))]
        if not counts:
            return "No images in it."
        images = "1 image" if len(self.rows) == 1 else f"{len(self.rows)} images"
        return f"{images}: {', '.join(counts)}."


def check_yaml(
    *,
    organization: Organization,
    content: str | bytes,
    environment: Environment | None = None,
    read: Callable[[str | bytes], Mentions] = read_images,
) -> Report:
    """What serves each image of the file; one query per distinct image.

    Raises `Refused` where it isn't a `valohai.yaml` that can be read.
    """
    found = read(content)
    known: dict[ImageReference, Served | None] = {}
    rows = []
    for mention in found.images:
        reference = mention.reference
        if reference is None:
            rows.append(Row(mention, Result.INVALID, str(mention.problem)))
            continue
        if reference not in known:
            known[reference] = resolve(organization, reference, environment)
        rows.append(_judged(mention, reference, known[reference]))
    return Report(rows, found.warnings)


def _judged(mention: Mention, reference: ImageReference, served: Served | None) -> Row:
    if served is not None:
        kind = BY_SLUG.get(served.entry.registry_type)
        label = kind.label if kind else served.entry.registry_type
        return Row(mention, Result.SERVED, f"Served by {served.pattern} ({label}).", served)
    if reference.port is None and reference.host in PUBLIC_HOSTS:
        told = f"No entry. Images of {reference.host} are usually public and need none."
        return Row(mention, Result.PUBLIC, told)
    advice = advice_on(reference)
    fix = f"If it's private, add an entry with {advice.pattern}." if advice.pattern else advice
    return Row(mention, Result.PRIVATE, f"No enabled entry serves it. {fix}", advice=advice)


def report_json(report: Report) -> dict[str, object]:
    """The report as one JSON document."""
    return {
        "ok": report.ok,
        "images": [
            {
                "line": row.mention.line,
                "where": row.mention.where,
                "image": row.mention.text,
                "result": row.result,
                "detail": row.sentence,
                "entry": str(row.served.entry.pk) if row.served else None,
                "image_pattern": row.served.pattern if row.served else None,
            }
            for row in report.rows
        ],
        "warnings": [{"line": w.line, "detail": w.sentence} for w in report.warnings],
    }

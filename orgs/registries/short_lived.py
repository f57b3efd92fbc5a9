"""Logins that end within hours, by the looks of their usernames and passwords: stored as
they are, they'd be dead before a job in the queue runs.

Only what is sure is known here. A password may hold anything, so its shape alone tells
only where an issuer gives it a prefix of its own, or an end that can be read in it.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .problems import Problem

SOON = 24 * 3600.0  # seconds; what ends within them isn't worth storing
_MOST_DECODED = 8192  # characters; a password has at most so many
_LATEST = 253_402_300_800.0  # the year 10000, in seconds: beyond it there are no dates


@dataclass(frozen=True)
class Kind:
    """A kind of login: what it is, and what lasts in its place."""

    what: str
    fix: str


# cloud.google.com/artifact-registry/docs/docker/authentication: 60 minutes.
GOOGLE = Kind(
    "a Google access token, which ends after an hour",
    "Choose GCP Artifact Registry as the registry type, with a service account's JSON key: it "
    "obtains a new one in time.",
)
# learn.microsoft.com/azure/container-registry/container-registry-authentication: 3 hours.
AZURE = Kind(
    "a token of Azure's, which ends after 3 hours",
    "Choose Azure Container Registry as the registry type, with a service principal's secret: "
    "it obtains a new one in time.",
)
# docs.github.com «GITHUB_TOKEN» and «Generating an installation access token».
GITHUB = Kind(
    "a token of GitHub Actions or of an app (ghs_…), which ends with its job or after an hour",
    "Use a classic personal access token (ghp_…) that may only read packages.",
)
# docs.gitlab.com/ci/jobs/ci_job_token.
GITLAB = Kind(
    "the token of one GitLab job, which ends with the job",
    "Use the username and token of a deploy token that may only read the registry.",
)
# docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html: 12 hours.
ECR = Kind(
    "a login of Amazon ECR, which ends after 12 hours",
    "Choose AWS ECR as the registry type: it obtains a new one in time.",
)

_USERNAMES = {
    "oauth2accesstoken": GOOGLE,
    "_dcgcloud_token": GOOGLE,
    "00000000-0000-0000-0000-000000000000": AZURE,
    "gitlab-ci-token": GITLAB,
}
_PREFIXES = {"ya29.": GOOGLE, "ghs_": GITHUB, "glcbt-": GITLAB}
# GitLab takes them with any username (docs.gitlab.com, «Token overview»).
_LASTING = ("glpat-", "gldt-")


def problems(username: str, password: str) -> Iterator[Problem]:
    """What is wrong with a username and its password, "" where that isn't known."""
    kind = _USERNAMES.get(username.lower())
    if kind is GITLAB and password.startswith(_LASTING):
        kind = None
    if kind is not None:
        yield Problem(
            "short_lived_password", f"This username stands for {kind.what}.", kind.fix, "username"
        )
    elif found := _of_password(password):
        yield Problem(
            "short_lived_password", f"The password is {found.what}.", found.fix, "password"
        )


def _of_password(password: str) -> Kind | None:
    for prefix, kind in _PREFIXES.items():
        # A word that only begins so is none: they are long.
        if password.startswith(prefix) and len(password) >= 20:
            return kind
    if len(password) > _MOST_DECODED or not password.startswith("ey"):  # as JSON in base64 does
        return None
    if _is_ecr(password):
        return ECR
    ends = end_of_jwt(password)
    return _ending(ends) if ends is not None and ends < time.time() + SOON else None


def _ending(ends: float) -> Kind:
    over = "ended" if ends <= time.time() else "ends"
    at = datetime.fromtimestamp(ends, UTC)
    return Kind(
        f"a token that {over} on {at:%Y-%m-%d at %H:%M} UTC",
        "Use one that lasts, such as an access token or a robot account's that may only read.",
    )


def _is_ecr(password: str) -> bool:
    """Whether it's JSON in base64 as ECR has it, sealed data and the key to it."""
    told = _json(password)
    return told is not None and {"payload", "datakey", "expiration"} <= told.keys()


def end_of_jwt(password: str) -> float | None:
    """When a JSON web token ends, in seconds of the epoch (RFC 7519, `exp`); None for what
    is none or has no end."""
    parts = password.split(".")
    if len(parts) != 3:
        return None
    head, claims = _json(parts[0]), _json(parts[1])
    if head is None or claims is None or "alg" not in head:
        return None
    ends = claims.get("exp")
    if isinstance(ends, bool) or not isinstance(ends, int | float) or not 0 < ends < _LATEST:
        return None
    return float(ends)


def _json(text: str) -> dict[str, Any] | None:
    """The object that is in base64, of either alphabet; None for anything else."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        told = json.loads(base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True))
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None

"""What all types of Google's registries share: their own hosts only, and a login of an hour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .google_hosts import ANY_GCR, corrected_google_host, hosts_of_pattern, parse_google_host
from .google_key import UNIVERSE
from .lookalikes import lookalike, not_its_own
from .patterns import MatchPattern, not_a_registry
from .problems import Failed, Problem
from .types import Config, Provider, RegistryType, Travel

# cloud.google.com/artifact-registry/docs/docker/authentication, «Access token».
USERNAME = "oauth2accesstoken"
# The narrowest that pulls: «read-only access scope for Cloud Storage» (Artifact Registry's
# docs, «Deploying to Compute Engine»). With it the token opens nothing that writes.
SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"

_KIND = "a host of Google's registries"


class GoogleType(RegistryType):
    """A type of Google's registries, whoever's the login is."""

    group = "Google"
    travel = Travel.MINTED
    login_life = "an hour"
    provider = Provider.GOOGLE
    private_addresses = True  # Private Service Connect
    example_pattern = "europe-west1-docker.pkg.dev/my-project/*"

    def secret_scope(self, config: Config, patterns: Sequence[MatchPattern]) -> frozenset[str]:
        return frozenset({UNIVERSE})  # a key goes nowhere, and signs for Google alone

    def example_host(self, pattern: MatchPattern) -> str:
        return next(iter(hosts_of_pattern(pattern.host)), pattern.authority)

    def host_refusal(self, config: Config, host: str) -> Failed | None:
        return None if parse_google_host(host) else not_its_own(host, _KIND)

    def host_problems(self, patterns: Sequence[MatchPattern]) -> Iterator[Problem]:
        """What is wrong with patterns whose hosts aren't Google's."""
        for pattern in patterns:
            if pattern.port is None and hosts_of_pattern(pattern.host):
                continue
            site = not_a_registry(pattern)
            yield self.fitting(site) if site else _not_google(pattern)


def _not_google(pattern: MatchPattern) -> Problem:
    host = pattern.authority
    if pattern.host == "*.pkg.dev":
        path = str(pattern).removeprefix(host)
        return Problem(
            "wildcard_host",
            f"{host} leaves open where the repositories are.",
            f"Write each location's host in full, such as europe-west1-docker.pkg.dev{path}, as "
            f"one pattern each; only {ANY_GCR} may have a “*”.",
            "patterns",
        )
    corrected = corrected_google_host(host)
    return lookalike(
        pattern,
        kind=_KIND,
        login="login of Google's",
        resembles=corrected is not None,
        corrected=corrected,
        example="europe-west1-docker.pkg.dev",
    )

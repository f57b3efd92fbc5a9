"""Any registry that takes a username and a password: Docker Hub, Azure, JFrog, Harbor, …

Nothing is minted: the stored password itself goes to workers, and from them to the
host. So each host is written in full, and a kept password stays with its hosts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from . import authorities, pasted_values, short_lived
from .ecr_hosts import PUBLIC_HOSTS, corrected_ecr_host, parse_ecr_pattern_host
from .images import HUB
from .patterns import MatchPattern
from .problems import Failed, Problem, Refused
from .types import Ask, Blanks, Config, DockerLogin, Field, Other, RegistryType, Shape, Travel

# Docker Hub's images are named after one host and served by another
# (distribution/reference, normalize.go; moby, registry/config.go).
_HUB_API = "registry-1.docker.io"
_CA = "ca_certificate"
# Whose `Bearer realm` is on another host: each as its own 401 says. Most registries
# (GitHub, Google, Azure, Quay, Harbor, JFrog) name their own and need no line here.
_SIGN_IN_HOSTS = {
    HUB: "auth.docker.io",  # distribution.github.io/distribution/spec/auth/token
    _HUB_API: "auth.docker.io",
    "registry.gitlab.com": "gitlab.com",  # deitch/docker_registry2#14
    "registry.digitalocean.com": "api.digitalocean.com",
    "rg.fr-par.scw.cloud": "api.scaleway.com",
    "rg.nl-ams.scw.cloud": "api.scaleway.com",
    "rg.pl-waw.scw.cloud": "api.scaleway.com",
    "registry.cn-hangzhou.aliyuncs.com": "dockerauth.cn-hangzhou.aliyuncs.com",
}


class DockerRegistry(RegistryType):
    """A username and password, kept here and given to workers as they are."""

    slug = "docker"
    label = "Docker registry (username and password)"
    short_label = "Docker"
    summary = (
        "Docker Hub, Azure, JFrog, Harbor and others, by a password that workers get as it is, "
        "so best a token that may only read."
    )
    travel = Travel.STATIC
    secret_ends = True
    example_pattern = "docker.io/your-team/*"
    fields = (
        Field(
            name="username",
            label="Username",
            help="As in docker login; a token's name, where the registry has tokens.",
            example="valohai-pull",
            # A colon would end it: the two travel as `username:password` (RFC 7617, section 2).
            shape=Shape(
                r"[^:\x00-\x1f\x7f]{1,255}",
                "username_shape",
                "A username has at most 255 characters, no colon and no line break.",
                "Enter the username alone, and the password below it.",
            ),
            max_length=255,
        ),
        Field(
            name="password",
            label="Password",
            help="Better an access token that may only read: workers get it as it is. "
            "It's stored sealed and never shown here.",
            secret=True,
            # RFC 7617 again. `docker login --password-stdin` would take line breaks; headers don't.
            shape=Shape(
                r"[^\x00-\x1f\x7f]*",
                "secret_shape",
                "The password has a line break or another control character in it.",
                "Enter it without; for Google's JSON key use the username _json_key_base64 and "
                "the key in base64, on one line.",
                # It may hold anything that can be seen, so nothing of it is ever mended.
                others=(
                    Other(
                        rf"[^{pasted_values.INVISIBLE}]*[{pasted_values.INVISIBLE}](?s:.*)",
                        "The password has characters in it that can't be seen, such as a "
                        "zero-width blank.",
                        "Copy it anew, or type it.",
                    ),
                ),
            ),
            max_length=8192,
            paired_with="username",
            blanks=Blanks.KEPT,
        ),
        Field(
            name=_CA,
            label="CA certificate",
            help="Only for a registry whose certificate isn't from a public authority: that of "
            "the authority, as a PEM. Verifying trusts it for this entry's hosts, and the "
            "set-up of workers puts it where their clients look for it.",
            required=False,
            lines=True,
            file=".pem,.crt,.cer",
            max_length=authorities.LONGEST,
            pages_tell=authorities.told,
        ),
    )
    trusts_own = True
    authority_fix = "Paste the certificate of its authority into the entry, as CA certificate."

    def clean_own(
        self, config: dict[str, str], secrets: dict[str, str], patterns: Sequence[MatchPattern]
    ) -> tuple[dict[str, str], dict[str, str], list[Problem]]:
        problems = [*_host_problems(patterns)]
        problems += short_lived.problems(config["username"], secrets.get("password", ""))
        try:
            found = authorities.read(config[_CA], _CA)
        except Refused as refused:
            return config, secrets, [*refused.problems, *problems]
        problems += authorities.ended(found, _CA)
        return {**config, _CA: authorities.plain(found)}, secrets, problems

    def trusting(self, config: Config) -> str:
        try:
            return authorities.plain(authorities.read(config.get(_CA, "")))
        except Refused:  # of what older rules let in: it's trusted nowhere, and goes nowhere
            return ""

    def secret_scope(self, config: Config, patterns: Sequence[MatchPattern]) -> frozenset[str]:
        return frozenset(pattern.authority for pattern in patterns)

    def api_host(self, authority: str) -> str:
        return _HUB_API if authority == HUB else authority

    def limit_image(self, authority: str) -> str:
        # docs.docker.com/docker-hub/usage/pulls, «View pull rate and limit»
        return "ratelimitpreview/test" if self.api_host(authority) == _HUB_API else ""

    def sign_in_hosts(self, authority: str) -> frozenset[str]:
        host = _SIGN_IN_HOSTS.get(authority)
        return frozenset({host} if host else ())

    def login(self, config: Config, secrets: Config, ask: Ask) -> DockerLogin:
        username, password = config.get("username"), secrets.get("password")
        if not username or not password:
            raise Failed(
                "entry_unusable",
                "The entry has no complete username and password.",
                "Enter both again.",
            )
        if _is_ecr(ask.host):  # the rule of save time, held again
            raise Failed(
                "entry_unusable",
                f"{ask.host} is Amazon ECR, where no password of one's own works.",
                "Correct the entry's match pattern, or choose another registry type.",
            )
        return DockerLogin(username, password, expires_at=None)


def _is_ecr(host: str) -> bool:
    return parse_ecr_pattern_host(host) is not None or host in PUBLIC_HOSTS


def _host_problems(patterns: Sequence[MatchPattern]) -> Iterator[Problem]:
    for pattern in patterns:
        host, path = pattern.authority, str(pattern).removeprefix(pattern.authority)
        # A load balancer of AWS may well run a registry; what has account and region
        # in it means ECR.
        meant = corrected_ecr_host(pattern.host)
        if pattern.host in PUBLIC_HOSTS:
            yield Problem(
                "ecr_host",
                f"Images of {host} are public, and no password of one's own works there.",
                "Leave it out: public images need no entry. For higher limits choose AWS ECR "
                "Public as the registry type.",
                "patterns",
            )
        elif _is_ecr(pattern.host) or meant:
            yield Problem(
                "ecr_host" if _is_ecr(pattern.host) else "lookalike_host",
                f"{host} {'is' if _is_ecr(pattern.host) else 'resembles'} Amazon ECR, "
                "which changes its passwords every 12 hours.",
                f"Choose AWS ECR as the registry type, with {meant or pattern.host}{path}.",
                "patterns",
            )
        elif pattern.host_is_wildcard:
            yield Problem(
                "wildcard_host",
                f"The password goes to the host, so {host} can't leave open which one that is.",
                "Write each host in full, as one pattern each.",
                "patterns",
            )

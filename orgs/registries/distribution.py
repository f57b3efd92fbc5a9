"""The registries' own HTTP API (OCI distribution), as far as verifying needs it.

Sources: opencontainers/distribution-spec (spec.md) for paths and error codes, and
distribution.github.io/distribution/spec/auth/token for bearer tokens. A login goes to
the registry itself and to token services that its type vouches for, nowhere else.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from . import outbound, sign_in_hosts
from .addresses import Rules
from .images import COMPONENT, MAX_PATH_LENGTH, split_authority
from .outbound import Answer, Way, shown
from .problems import Failed
from .types import DockerLogin

MOST = 1000
_WEEK = 7 * 86400  # seconds
MOST_TOLD = 4_000  # characters of an error's text that are looked at
MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)

# RFC 9110, 11.6.1: schemes, each followed by its parameters, separated by commas.
_CHALLENGE_PIECE = re.compile(
    r"[\s,]*(?:(?P<name>[A-Za-z0-9_-]+)\s*=\s*(?:\"(?P<quoted>[^\"]*)\"|(?P<plain>[^\s,\"]*))"
    r"|(?P<scheme>[A-Za-z0-9_-]+)(?=[\s,]|$))"
)
# Read in full and strictly, so that no two readers can take it for different hosts.
_REALM = re.compile(
    r"https://(?P<host>[A-Za-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?P<query>\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
)
# What an Authorization header can carry after «Bearer» (RFC 6750, 2.1), loosely.
_TOKEN = re.compile(r"[!-~]{1,60000}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_PATH = re.compile(rf"{COMPONENT.pattern}(?:/{COMPONENT.pattern})*")
# As Docker Hub has it: `100;w=21600`.
_LIMIT = re.compile(r"(?P<count>[0-9]{1,9})(?:;w=(?P<seconds>[0-9]{1,9}))?", re.ASCII)
_PAGE = re.compile(rb"\s*<")


@dataclass(frozen=True)
class _Challenge:
    """How a 401 wants to be answered; `basic` leaves the rest empty."""

    basic: bool
    realm: str = ""
    service: str = ""
    scope: str = ""


@dataclass(frozen=True)
class PullLimit:
    """How many pulls a login has left of its limit, which is for so many seconds."""

    left: int
    most: int
    seconds: int

    def __str__(self) -> str:
        hours = self.seconds / 3600
        within = f"{hours:.0f} hours" if hours >= 2 else f"{self.seconds / 60:.0f} minutes"
        if not self.left:
            return (
                f"None of its {self.most:,} pulls within {within} is left, so further ones fail "
                "until that time is over."
            )
        return f"{self.left:,} of {self.most:,} pulls within {within} are left."


class _NotLetIn(Exception):
    """A token service turned the login down."""


class RegistryApi:
    """One registry as a login sees it. Blocking; each method raises `Failed`.

    `authority` is host[:port], and so are `sign_in_hosts`, where the login may go besides;
    `trusting` are certificates that count for all of these (`authorities.plain`);
    `explained` is what the registry's type knows of its errors, given a path, the error's
    code and its text;
    `deadline` is a `time.monotonic()` value that holds for all calls together. Each host is
    looked up once in the object's life.

    The login is shown only where it is asked for, as `docker login` does: a registry
    that lets everyone in is one that answers, and nothing about the login is known
    until an image asks for it.
    """

    def __init__(
        self,
        authority: str,
        login: DockerLogin,
        *,
        rules: Rules,
        sign_in_hosts: Collection[str] = (),
        trusting: str = "",
        explained: Callable[[str, str, str], Failed | None] = lambda path, code, text: None,
        deadline: float,
    ) -> None:
        self._authority, self._name = authority, shown(authority)
        host, port = split_authority(authority)
        self._host, self._port = host, port or 443
        self._rules = rules
        self._sign_in_hosts = frozenset(sign_in_hosts)
        self._trusting = trusting
        self._explained = explained
        self._deadline = deadline
        pair = f"{login.username}:{login.password}".encode()
        self._basic = f"Basic {base64.b64encode(pair).decode()}"
        self._ways: dict[tuple[str, int], Way] = {}
        self._challenge: _Challenge | None = None
        self._entered = False
        self._proven = False

    def answers(self) -> None:
        """Check that a registry is there, and that it lets the login in.

        Raises `not_a_registry`, `login_refused`, `hostile_realm`, `redirected`,
        `throttled`, `registry_unreachable` or `unsafe_address`, as all methods may.
        """
        if self._entered:
            return
        answer = self._ask("GET", "/v2/")
        if answer.status in (401, 403):
            raise self._login_refused() if self._challenge else self._turned_away(answer)
        if answer.status != 200:
            raise self._not_a_registry()
        self._entered, self._proven = True, self._challenge is not None

    def read_manifest(self, path: str, reference: str) -> None:
        """Check that the login may read an image, without counting as a pull of it.

        `reference` is a tag or a digest. Raises also `image_not_found`, and
        `image_denied`, which some registries (Docker Hub) use for both.
        """
        self.answers()
        target = f"/v2/{quote(path)}/manifests/{quote(reference, safe=':')}"
        scope = f"repository:{path}:pull"
        # Docker Hub counts GETs only (docs.docker.com/docker-hub/usage/pulls).
        if self._ask("HEAD", target, scope).status == 200:
            return
        # Only an answer with a body tells why.
        answer = self._ask("GET", target, scope)
        if answer.status == 200:
            return
        if answer.status == 401 and self._challenge and not self._proven:
            raise self._login_refused()  # its first trial: /v2/ had asked for none
        if answer.status in (400, 401, 403, 404):
            code, text = _error(answer)
            if told := self._explained(path, code, text[:MOST_TOLD]):
                raise told
        if answer.status in (401, 403):
            raise self._image_denied(path)
        if answer.status in (400, 404):
            raise self._image_not_found(path, reference, code)
        raise self._not_a_registry()

    def pull_limit(self, path: str) -> PullLimit | None:
        """What the registry says of the login's limit, asked by a HEAD of an image, which
        counts as no pull; None where it says nothing, as of accounts without one.
        """
        self.answers()
        target = f"/v2/{quote(path)}/manifests/latest"
        answer = self._ask("HEAD", target, f"repository:{path}:pull")
        most = _LIMIT.fullmatch(answer.headers.get("RateLimit-Limit", ""))
        left = _LIMIT.fullmatch(answer.headers.get("RateLimit-Remaining", ""))
        if answer.status != 200 or not most or not left or not most["seconds"]:
            return None
        limit = PullLimit(int(left["count"]), int(most["count"]), int(most["seconds"]))
        sane = limit.left <= limit.most > 0 and 60 <= limit.seconds <= _WEEK
        return limit if sane else None

    def tags(self, path: str) -> list[str]:
        """The tags of a repository in the registry's order, at most 1,000.

        Raises also `listing_denied`, and `image_not_found` for an unknown repository.
        """
        self.answers()
        answer = self._list_tags(path, MOST)
        if answer.status == 404:
            raise self._repository_unknown(path)
        if answer.status != 200:
            raise self._listing_denied(f"the tags of {path}")
        return self._names(answer, "tags", _TAG)

    def repositories(self) -> list[str]:
        """The registry's repositories as far as it lists them, at most 1,000.

        Raises also `listing_denied`: public registries list none, and pulling doesn't
        need it.
        """
        self.answers()
        answer = self._ask("GET", f"/v2/_catalog?n={MOST}", "registry:catalog:*")
        if answer.status != 200:
            raise self._listing_denied("its repositories")
        names = self._names(answer, "repositories", _PATH)
        return [name for name in names if len(name) <= MAX_PATH_LENGTH]

    # -- Asking --------------------------------------------------------------------

    def _ask(self, method: str, target: str, scope: str = "") -> Answer:
        """Ask the registry, with the login where it wants one.

        The answer may be a refusal, of the registry or of its token service.
        """
        try:
            known = self._challenge
            answer = self._send(method, target, self._authorization(known, scope) if known else "")
            wanted = _challenge(answer) if answer.status == 401 else None
            if wanted is None or (known and (wanted.basic or wanted.scope in ("", scope))):
                return answer
            # Asked for the first time, or for a scope of the registry's own making
            # (Azure: `metadata_read` for tags).
            self._challenge = known or wanted
            return self._send(method, target, self._authorization(wanted, wanted.scope or scope))
        except _NotLetIn:
            return Answer(401, Message(), b"")

    def _list_tags(self, path: str, most: int) -> Answer:
        return self._ask("GET", f"/v2/{quote(path)}/tags/list?n={most}", f"repository:{path}:pull")

    def _send(self, method: str, target: str, authorization: str) -> Answer:
        headers = {"Accept": MANIFEST_TYPES if "/manifests/" in target else "application/json"}
        if authorization:
            headers["Authorization"] = authorization
        answer = self._request(method, self._host, self._port, target, headers)
        if answer.status == 200 and _is_page(answer):
            raise self._not_a_registry()
        return answer

    def _authorization(self, challenge: _Challenge, scope: str) -> str:
        """The header that answers a challenge; raise `_NotLetIn` if its service refuses."""
        if challenge.basic:
            return self._basic
        host, port, target = self._token_service(challenge.realm)
        # GCP Artifact Registry names no service, and /v2/ has no scope.
        asked = {"service": challenge.service, "scope": scope}
        query = urlencode({name: value for name, value in asked.items() if value})
        target += f"{'&' if '?' in target else '?'}{query}" if query else ""
        headers = {"Accept": "application/json", "Authorization": self._basic}
        answer = self._request("GET", host, port, target, headers)
        # What a scope names may be unknown: 404 at Scaleway, 400 at DigitalOcean.
        if answer.status in (401, 403) or (scope and 400 <= answer.status < 500):
            raise _NotLetIn
        content = _json_object(answer)
        for name in ("token", "access_token"):
            token = content.get(name)
            if answer.status == 200 and isinstance(token, str) and _TOKEN.fullmatch(token):
                return f"Bearer {token}"
        raise Failed(
            "not_a_registry",
            f"{self._name} sends logins to {shown(host)}, which gave no token for one.",
            "Check the host; if it's right, try again later.",
        )

    def _token_service(self, realm: str) -> tuple[str, int, str]:
        """Host, port and target of a challenge's realm, if logins may go there."""
        if not realm.lower().startswith("https://"):
            raise self._hostile_realm("without encryption")
        match = _REALM.fullmatch(realm)
        port = int(match["port"] or 443) if match else 0
        if not match or not 1 <= port <= 65535:
            raise self._hostile_realm("an address that can be read in more than one way")
        host = match["host"].lower()
        named = host if port == 443 else f"{host}:{port}"
        own = host == self._host and port in (443, self._port)
        if not own and named not in self._sign_in_hosts:
            if host == self._host or host in self._sign_in_hosts:
                raise self._hostile_realm(f"another port, {port}", named)
            raise self._hostile_realm(f"{shown(host)}, which isn't known to be its own", named)
        return host, port, (match["target"] or "/") + (match["query"] or "")

    def _request(
        self, method: str, host: str, port: int, target: str, headers: dict[str, str]
    ) -> Answer:
        """Any status but those that mean the same wherever they come from."""
        if (host, port) not in self._ways:
            left = min(outbound.LOOKUP_SECONDS, self._deadline - time.monotonic())
            self._ways[host, port] = outbound.way(host, port, self._rules, left)
        way = self._ways[host, port]
        answer = outbound.request(
            method, host, port, way, target, headers, self._deadline, trusting=self._trusting
        )
        if 300 <= answer.status < 400:
            raise _redirected(host, answer)
        if answer.status == 429 and _used_up(answer):
            raise Failed(
                "throttled",
                f"{shown(host)} says that this login's limit of pulls is used up.",
                "Wait until the limit's hours are over, or use an account with a higher one: "
                "workers' pulls fail as well until then.",
                retry_after=60,
            )
        if answer.status == 429:
            raise Failed(
                "throttled",
                f"{shown(host)} gets too many requests from here and wants a pause.",
                "Try again in a minute.",
                retry_after=60,
            )
        if answer.status >= 500:
            raise Failed(
                "registry_unreachable",
                f"{shown(host)} has a fault of its own (HTTP {answer.status}).",
                "Try again later; if it lasts, ask whoever runs it.",
                retry_after=5,
            )
        return answer

    def _names(self, answer: Answer, key: str, shape: re.Pattern[str]) -> list[str]:
        """The well-formed names in a list; null, which GitLab and others send, is none."""
        names = _json_object(answer).get(key, 0)
        if names is None:
            return []
        if not isinstance(names, list):
            raise self._not_a_registry()
        wanted = (name for name in names if isinstance(name, str) and shape.fullmatch(name))
        return list(wanted)[:MOST]

    # -- What went wrong -----------------------------------------------------------

    def _not_a_registry(self) -> Failed:
        return Failed(
            "not_a_registry",
            f"{self._name} answers, but not as a registry does.",
            "Check the host and its port: it's what stands first in docker pull.",
        )

    def _turned_away(self, answer: Answer) -> Failed:
        """Refused before a login was asked for: a firewall, or something else altogether."""
        if answer.status == 401:
            return self._not_a_registry()
        return Failed(
            "registry_unreachable",
            f"{self._name} turns this server away before it asks for a login.",
            "Check whether the registry's firewall lets this server in.",
        )

    def _login_refused(self) -> Failed:
        return Failed(
            "login_refused",
            f"{self._name} doesn't accept this username and password.",
            "Enter both again, or a new access token if the old one may have expired.",
        )

    def _image_denied(self, path: str) -> Failed:
        return Failed(
            "image_denied",
            f"{self._name} lets the login in, but not to {path}, or it has no such repository.",
            f"Allow it to pull {path}, or correct the name: many registries don't say which.",
        )

    def _image_not_found(self, path: str, reference: str, code: str) -> Failed:
        if code == "NAME_UNKNOWN":
            return self._repository_unknown(path)
        if code != "MANIFEST_UNKNOWN":
            return Failed(
                "image_not_found",
                f"{self._name} has no image {path} with {reference}.",
                "Check the repository's name and its tag.",
            )
        try:
            # distribution calls the manifest unknown even if the repository is.
            if _error(self._list_tags(path, 1))[0] == "NAME_UNKNOWN":
                return self._repository_unknown(path)
        except Failed:
            pass  # it only was to tell more
        kind = "digest" if ":" in reference else "tag"
        return Failed(
            "image_not_found",
            f"{self._name} has {path}, but not its {kind} {reference}.",
            f"Correct the {kind}, or push it.",
        )

    def _repository_unknown(self, path: str) -> Failed:
        return Failed(
            "image_not_found",
            f"{self._name} has no repository {path}.",
            "Correct the name, or push an image to it.",
        )

    def _listing_denied(self, what: str) -> Failed:
        return Failed(
            "listing_denied",
            f"{self._name} doesn't list {what} for this login.",
            "Pulling doesn't need it: name an image to look at one.",
        )

    def _hostile_realm(self, where: str, named: str = "") -> Failed:
        """`named` is the host[:port] that would have to be on the operator's list."""
        fix = "Check the host; if it's right, workers can still pull, only verifying can't go on."
        if pair := sign_in_hosts.pair(self._authority, named):
            fix = (
                "Check the host; if it's right, workers can pull already, and to have it verified "
                f"ask staff to add {pair} to OUTBOUND_SIGN_IN_HOSTS."
            )
        return Failed(
            "hostile_realm",
            f"{self._name} wants the login sent to {where}, so it wasn't sent.",
            fix,
        )


def _redirected(host: str, answer: Answer) -> Failed:
    try:
        target = urlsplit(urljoin(f"https://{host}/", answer.headers.get("Location", ""))).hostname
    except ValueError:
        target = None
    if target == host:
        where = "another page of its own"
    else:
        where = "elsewhere" if shown(target or "") != target else f"{target}"
    return Failed(
        "redirected",
        f"{shown(host)} points to {where}, and credentials aren't taken along.",
        "Write the host that the registry itself answers at.",
    )


def _challenge(answer: Answer) -> _Challenge | None:
    """The challenge to answer: Bearer before Basic; None where there is neither."""
    found: list[tuple[str, dict[str, str]]] = []
    for header in answer.headers.get_all("WWW-Authenticate", []):
        at = 0
        while match := _CHALLENGE_PIECE.match(header, at):
            at = match.end()
            if match["scheme"]:
                found.append((match["scheme"].lower(), {}))
            elif found:
                quoted = match["quoted"]
                value = match["plain"] if quoted is None else quoted
                found[-1][1].setdefault(match["name"].lower(), value)
    for scheme, parameters in found:
        if scheme == "bearer":
            wanted = (parameters.get(name, "") for name in ("realm", "service", "scope"))
            return _Challenge(False, *wanted)
    return _Challenge(True) if any(scheme == "basic" for scheme, _ in found) else None


def _used_up(answer: Answer) -> bool:
    """Whether it was one pull too many, as Docker Hub says it: by a header, and where there is
    a body in its text."""
    left = _LIMIT.fullmatch(answer.headers.get("RateLimit-Remaining", ""))
    return bool(left and not int(left["count"])) or "pull rate limit" in _error(answer)[1]


def _is_page(answer: Answer) -> bool:
    """Whether it's something to look at: what answers any path with a page is no registry."""
    return answer.headers.get_content_type() == "text/html" or bool(_PAGE.match(answer.body))


def _json_object(answer: Answer) -> dict[str, Any]:
    """The body as an object; empty for anything else."""
    try:
        content = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _error(answer: Answer) -> tuple[str, str]:
    """The first error's code and text, to look at and never to repeat; empty where there is
    none."""
    errors = _json_object(answer).get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return "", ""
    code, text = first.get("code"), first.get("message")
    return code if isinstance(code, str) else "", text if isinstance(text, str) else ""

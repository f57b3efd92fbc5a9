"""What the fake Google has of Workload Identity Federation: pools, and service accounts that
somebody may act as.

A JWT is let in only as Google does: signed by a key that its issuer publishes (`relying`); of
the provider's issuer, for an audience that it allows, in time by Google's clock, and past its
attribute condition. What is refused is told in Google's words, collected from public reports.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from joserfc.jwk import KeySet

from tests.support.relying import NotAccepted, RelyingParty, claimed

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
TYPE = "urn:ietf:params:oauth:token-type"
SCOPE = "https://www.googleapis.com/auth/"
SCOPES = {"cloud-platform", "cloud-platform.read-only", "devstorage.read_only", "iam"}
PULLS = {"cloud-platform", "cloud-platform.read-only", "devstorage.read_only"}
ACTS = {"cloud-platform", "iam"}  # generateAccessToken, «Authorization scopes»
MOST_SUBJECT = 127
MOST_LIFE = 3600
_DISABLED = (
    "{} has not been used in project {} before or it is disabled. Enable it by visiting "
    "https://console.developers.google.com/apis/api/x then retry."
)


class Refused(Exception):
    """An OAuth error of the Security Token Service."""

    def __init__(self, error: str, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.error, self.text, self.status = error, text, status


class Denied(Exception):
    """An error of Google's other APIs."""

    def __init__(self, code: int, status: str, message: str) -> None:
        super().__init__(message)
        self.code, self.status, self.message = code, status, message


@dataclass
class Provider:
    """A provider in a pool; `subject` is whom its condition lets in, "" where it has none."""

    issuer: str
    subject: str = ""
    audiences: tuple[str, ...] = ()
    mapped: str = "sub"
    keys: dict[str, Any] | None = None  # uploaded ones
    enabled: bool = True


@dataclass(frozen=True)
class Federated:
    """Whom a token of ours stands for."""

    principal: str
    scopes: frozenset[str]
    ends: float


@dataclass
class Account:
    users: set[str] = field(default_factory=set)  # principals that may act as it
    enabled: bool = True


@dataclass
class Pools:
    """Providers, whom they let in, and what these may do. `clock` is the fake's, in seconds
    ahead of ours."""

    relying: RelyingParty = field(default_factory=lambda: RelyingParty(patient=True))
    providers: dict[str, Provider] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    readers: set[str] = field(default_factory=set)
    tokens: dict[str, Federated] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)  # but for what opens anything
    off: set[str] = field(default_factory=set)  # APIs
    clock: float = 0.0
    life: int = 3600

    def create(
        self,
        issuer: str,
        subject: str = "",
        *,
        project: str = "123456789012",
        pool: str = "valohai",
        provider: str = "valohai",
        **more: Any,
    ) -> str:
        """A provider; its name."""
        where = f"projects/{project}/locations/global/workloadIdentityPools/{pool}"
        name = f"{where}/providers/{provider}"
        self.providers[name] = Provider(issuer, subject, **more)
        return name

    def principal(self, name: str, subject: str) -> str:
        return (
            f"principal://iam.googleapis.com/{name.partition('/providers/')[0]}/subject/{subject}"
        )

    def let_act(self, email: str, principal: str) -> None:
        self.accounts.setdefault(email, Account()).users.add(principal)

    # --- the Security Token Service -----------------------------------------------------

    def exchange(self, form: dict[str, list[str]]) -> tuple[str, dict[str, Any]]:
        """(token, what is answered); raises `Refused`."""
        given = {name: values[0] for name, values in form.items() if len(values) == 1}
        if given.get("grant_type") != GRANT:
            raise Refused("unsupported_grant_type", "Invalid grant_type")
        if given.get("requested_token_type", f"{TYPE}:access_token") != f"{TYPE}:access_token":
            raise Refused("invalid_request", 'Invalid value for "requested_token_type".')
        if given.get("subject_token_type") not in {f"{TYPE}:jwt", f"{TYPE}:id_token"}:
            raise Refused("invalid_request", 'Invalid value for "subject_token_type".')
        scopes = given.get("scope", "").split()
        if not scopes or not {f"{SCOPE}{name}" for name in SCOPES}.issuperset(scopes):
            raise Refused("invalid_scope", "Some requested scopes were invalid.")
        provider = self._provider(given.get("audience", ""))
        token = given.get("subject_token", "")
        told = {n: v for n, v in given.items() if n != "subject_token"}
        self.asked.append(told | {"scope": sorted(scopes)})
        subject = self._subject(provider, given["audience"], token)
        if "sts" in self.off:
            raise Denied(
                403, "PERMISSION_DENIED", _DISABLED.format("Security Token Service API", 1)
            )
        name = given["audience"].removeprefix("//iam.googleapis.com/")
        minted = f"ya29.d.{secrets.token_urlsafe(400)}"
        self.tokens[minted] = Federated(
            self.principal(name, subject),
            frozenset(scope.removeprefix(SCOPE) for scope in scopes),
            self._now() + self.life,
        )
        return minted, {
            "access_token": minted,
            "issued_token_type": f"{TYPE}:access_token",
            "token_type": "Bearer",
            "expires_in": self.life,
        }

    def pulls(self, token: str) -> bool:
        """Whether a federated token opens repositories by itself."""
        whose = self.tokens.get(token)
        return bool(whose and whose.principal in self.readers and whose.scopes & PULLS)

    def _provider(self, audience: str) -> Provider:
        full = r"//iam\.googleapis\.com/projects/[0-9]+/locations/global/.+/providers/.+"
        if not re.fullmatch(full, audience):
            raise Refused(
                "invalid_request",
                'Invalid value for "audience". This value should be the full resource name of '
                "the Identity Provider. See https://cloud.google.com/iam/docs for the formats.",
            )
        provider = self.providers.get(audience.removeprefix("//iam.googleapis.com/"))
        if provider is None or not provider.enabled:
            raise Refused(
                "invalid_target",
                'The target service indicated by the "audience" parameters is invalid. This '
                "might either be because the pool or provider is disabled or deleted or because "
                "it doesn't exist.",
            )
        return provider

    def _subject(self, provider: Provider, target: str, token: str) -> str:
        allowed = list(provider.audiences or (target, f"https:{target}"))
        relying = self._reading(provider)
        try:
            claims = relying.checked(token, issuer=provider.issuer, audiences=allowed)
        except NotAccepted as error:
            raise Refused("invalid_grant", _words(error.why, provider, token)) from None
        subject = claims.get(provider.mapped)
        if not isinstance(subject, str) or not 0 < len(subject) <= MOST_SUBJECT:
            raise Refused(
                "invalid_request", "The mapped attribute 'google.subject' must be of type STRING"
            )
        if provider.subject and claims.get("sub") != provider.subject:
            what = "The given credential is rejected by the attribute condition."
            raise Refused("unauthorized_client", what)
        return subject

    def _reading(self, provider: Provider) -> RelyingParty:
        """What reads the issuer's keys, or has those that were uploaded."""
        relying = self.relying
        if provider.keys is not None:
            relying = RelyingParty(patient=True)
            keys = KeySet.import_key_set(provider.keys)
            relying._kept[provider.issuer] = (float("inf"), keys)
        relying.clock = self._now
        return relying

    # --- IAM Credentials ----------------------------------------------------------------

    def generate(self, email: str, bearer: str, content: bytes) -> tuple[str, dict[str, Any]]:
        """(token, what is answered); raises `Denied`."""
        whose = self.tokens.get(bearer)
        if whose is None or whose.ends < self._now():
            what = "Request had invalid authentication credentials."
            raise Denied(401, "UNAUTHENTICATED", what)
        if "iamcredentials" in self.off:
            name = "IAM Service Account Credentials API"
            raise Denied(403, "PERMISSION_DENIED", _DISABLED.format(name, 123456789012))
        if not whose.scopes & ACTS:
            what = "Request had insufficient authentication scopes."
            raise Denied(403, "PERMISSION_DENIED", what)
        scopes, life = self._asked(content)
        account = self.accounts.get(email)
        if account is None or whose.principal not in account.users:
            what = (
                "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may "
                "not exist)."
            )
            raise Denied(403, "PERMISSION_DENIED", what)
        if not account.enabled:
            raise Denied(400, "FAILED_PRECONDITION", "Service account is disabled.")
        minted = f"ya29.c.{secrets.token_urlsafe(750)}"
        ends = datetime.fromtimestamp(int(self._now()) + life, UTC)
        told = {"accessToken": minted, "expireTime": f"{ends:%Y-%m-%dT%H:%M:%SZ}"}
        self.minted = (minted, email, tuple(scopes))
        return minted, told

    def _asked(self, content: bytes) -> tuple[list[str], int]:
        asked = json.loads(content)
        self.asked.append({"scope": asked.get("scope"), "lifetime": asked.get("lifetime")})
        scopes = asked.get("scope") or []
        life = re.fullmatch(r"([0-9]{1,5})s", str(asked.get("lifetime", "3600s")))
        if not scopes or not {f"{SCOPE}{name}" for name in SCOPES}.issuperset(scopes):
            raise Denied(400, "INVALID_ARGUMENT", "Invalid OAuth scope.")
        if not life or not 0 < int(life[1]) <= MOST_LIFE:
            what = "The access token lifetime cannot exceed 3600 seconds."
            raise Denied(400, "INVALID_ARGUMENT", what)
        return scopes, int(life[1])

    def _now(self) -> float:
        return time.time() + self.clock


def _words(why: str, provider: Provider, token: str) -> str:
    """Google's, for why a JWT isn't accepted."""
    if why in {"key", "signature", "malformed"}:
        return "Invalid JWT Signature."
    told = claimed(token)
    if why == "issuer" and told.get("iss") != provider.issuer:
        return (
            f"The issuer in ID Token {told.get('iss')} does not match the expected ones: "
            f"{provider.issuer}"
        )
    return {
        "audience": f"The audience in ID Token [{told.get('aud')}] does not match the expected "
        "audience.",
        "expired": f"ID Token issued at {told.get('iat')} is stale to sign-in.",
        "early": f"ID Token issued at {told.get('iat')} is in the future.",
    }.get(why, "Error connecting to the given credential's issuer.")

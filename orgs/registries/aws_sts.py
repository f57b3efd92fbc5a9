"""Sessions of a customer's role: AWS's own Security Token Service, in our words.

A role is taken with a key (an entry's, or this server's own), or with a JWT by which this
server says which entry it asks for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from . import aws, provider_calls
from .aws_roles import Role
from .ecr_api import AwsApi
from .private import private
from .problems import Failed

SERVICE = aws.Service("sts", "2011-06-15")
AUDIENCE = "sts.amazonaws.com"
# An hour: the default of a role, what every role allows, and the most that a role's own session
# may have of another (AssumeRole, «DurationSeconds»).
LIFE = timedelta(hours=1)

_VALUE = {
    "AccessKeyId": r"[A-Z0-9_]{16,128}",
    "SecretAccessKey": r"[A-Za-z0-9/+=]{16,200}",
    "SessionToken": r"[!-;=?-~]{1,20000}",
    "Expiration": r"[0-9TZ:.+-]{10,40}",
    "Arn": r"arn:[!-;=?-~]{1,600}",
}
_IN_XML = {name: re.compile(rf"<{name}>({value})</{name}>") for name, value in _VALUE.items()}


@dataclass(frozen=True)
class Session:
    """A role's session: the key to sign with, and when it ends."""

    key: aws.Key
    ends: datetime


class Denied(Failed):
    """AWS doesn't let the role be taken: a plain no, which no outage is."""


class StsApi(AwsApi):
    """STS in one region; `key` is None where nobody signs. `endpoint_url` stands in for AWS."""

    service = SERVICE
    product = "AWS STS"
    policy = "for taking the role"

    def __init__(
        self, key: aws.Key | None, region: str, endpoint_url: str, *, fips: bool, deadline: float
    ) -> None:
        url = endpoint_url or aws.endpoint(SERVICE, region, fips=fips)
        super().__init__(key or aws.Key("", ""), region, url, deadline)
        self._signs = key is not None

    def caller(self) -> str:
        """GetCallerIdentity: the ARN of whose the key is."""
        return self._value(self._asked("GetCallerIdentity", {}), "Arn")

    def with_key(
        self, role: Role, name: str, *, external_id: str = "", policy: str = ""
    ) -> Session:
        """AssumeRole. Raises `Denied` where AWS says no."""
        content = self._content(role, name, policy)
        if external_id:
            content["ExternalId"] = external_id
        told = {"AccessDenied": lambda: _not_for_key(role)}
        return self._session(self._asked("AssumeRole", content, told), role)

    def with_identity(self, role: Role, name: str, token: str, *, policy: str = "") -> Session:
        """AssumeRoleWithWebIdentity, by a JWT of this server's."""
        content = self._content(role, name, policy) | {"WebIdentityToken": token}
        told = {
            "AccessDenied": lambda: _not_for_identity(role),
            "IDPCommunicationError": _unread,
            "ExpiredToken": _late,
            "IDPRejectedClaim": lambda: _refused(_IDP_REJECTED, _COMPARE),
        }
        return self._session(self._asked("AssumeRoleWithWebIdentity", content, told), role)

    def _content(self, role: Role, name: str, policy: str) -> dict[str, str]:
        seconds = str(int(LIFE.total_seconds()))
        content = {"RoleArn": role.arn, "RoleSessionName": name, "DurationSeconds": seconds}
        return content | ({"Policy": policy} if policy else {})

    def _asked(
        self,
        operation: str,
        content: dict[str, str],
        told: Mapping[str, Callable[[], Failed]] | None = None,
    ) -> str:
        return str(self._ask(operation, dict(content), told)["text"])

    def _sent(self, operation: str, content: dict[str, Any]) -> dict[str, Any]:
        text = aws.ask_in_xml(
            self.service,
            operation,
            content,
            key=self._key if self._signs else None,
            region=self.region,
            url=self.url,
            deadline=self._deadline,
        )
        return {"text": text}

    def _session(self, text: str, role: Role) -> Session:
        key = aws.Key(
            self._value(text, "AccessKeyId"),
            self._value(text, "SecretAccessKey"),
            self._value(text, "SessionToken"),
            role.arn,
        )
        try:
            ends = datetime.fromisoformat(self._value(text, "Expiration").replace("Z", "+00:00"))
        except ValueError:
            raise self._unreachable("answered with no session") from None
        said = ends if ends.tzinfo else ends.replace(tzinfo=UTC)
        return Session(key, provider_calls.believed(said, LIFE))

    def _value(self, text: str, name: str) -> str:
        found = _IN_XML[name].search(text)
        if found is None:
            raise self._unreachable("answered with no session")
        return found[1]

    def _told(self, fault: aws.Fault) -> Failed:
        """What STS says besides what all of AWS says."""
        code, text = fault.code.removesuffix("Exception"), fault.text
        if code == "InvalidIdentityToken":
            return _not_accepted(text)
        if code == "RegionDisabled":
            return Failed(
                "identity_refused",
                f"AWS STS is switched off in {self.region} for the role's account.",
                "Switch it on in IAM, Account settings, Security Token Service.",
            )
        if code in {"PackedPolicyTooLarge", "MalformedPolicyDocument"}:
            return Failed(
                "entry_unusable",
                "AWS doesn't take the policy that narrows the login: packed, it's too large.",
                "Switch Narrowed logins off in the entry, or shorten the role's session tags.",
            )
        if code == "ValidationError":
            return _refused(
                "AWS doesn't take the role's ARN as it is.",
                "Compare it with the role's page in IAM.",
            )
        return super()._told(fault)


def _not_for_key(role: Role) -> Denied:
    return Denied(
        "access_denied",
        f"AWS doesn't let the role{private(f' {role.arn}')} be taken: it isn't there, its trust "
        "names somebody else, or who asks may not take it.",
        "Set the role up as the entry's page shows it, wait a few seconds, and try again.",
        mended_elsewhere=True,
    )


def _not_for_identity(role: Role) -> Denied:
    return Denied(
        "identity_refused",
        f"AWS knows this server, but doesn't let it take the role{private(f' {role.arn}')} for "
        "this entry: the role isn't there, or its trust doesn't name the entry's subject and "
        "audience.",
        "Compare the role's trust policy with the entry's page, wait a few seconds, and try again.",
    )


_COMPARE = "Compare provider and trust with the entry's page, wait a few seconds, and try again."
_IDP_REJECTED = "AWS rejects what this server says of the entry."


def _refused(what: str, fix: str) -> Failed:
    return Failed("identity_refused", what, fix)


def _unread() -> Failed:
    return Failed(
        "issuer_unreachable",
        "AWS couldn't read this server's keys.",
        "Wait: it is asked again by itself; if it lasts, ask staff whether this server's issuer "
        "can be reached from outside.",
        retry_after=5,
    )


def _late() -> Failed:
    return Failed(
        "clock_skew",
        "For AWS what this server says of itself has ended already, so its clock is behind AWS's.",
        "Ask staff to set the server's clock (NTP).",
        retry_after=5,
    )


def _not_accepted(text: str) -> Failed:
    """Of an `InvalidIdentityToken`, by what its sentence says; the sentence never travels."""
    low = text.lower()
    if "retrieve verification key" in low or "communicat" in low:
        return _unread()
    if "no openidconnect provider" in low:
        return _refused(
            "The role's account doesn't know this server: it isn't registered there as an identity "
            "provider.",
            "Register it in IAM, Identity providers, as the entry's page shows it, and try again.",
        )
    if "thumbprint" in low:
        return _refused(
            "The role's account knows this server, but by another certificate's thumbprint.",
            "Take the thumbprint out of the provider in IAM, or enter that of this server's "
            "certificate.",
        )
    if "audience" in low:
        return _refused(
            f"The role's account knows this server, but not for the audience {AUDIENCE}.",
            f"Add {AUDIENCE} to the provider's audiences in IAM, wait a few seconds, and try "
            "again.",
        )
    return _refused("AWS doesn't accept what this server says of the entry.", _COMPARE)

"""STS and sessions of roles for the fake AWS, which moto judges too kindly: it checks no JWT, takes
roles that aren't there, and no policy of a session limits anything.

What the real ones check, this does: the signature of who asks and their right to take a role; the
role's trust policy, its principal and its conditions; a web identity's provider, audience, keys and
times; the session's token, its end and both of its policies.
"""

from __future__ import annotations

import base64
import fnmatch
import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.support.relying import NotAccepted, RelyingParty

ROLE_ARN = re.compile(r"arn:(aws[a-z-]*):iam::([0-9]{12}):role/.+")
SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
MOST_POLICY = 2048
_CREDENTIAL = re.compile(r"Credential=([^/,]+)/\d{8}/([^/,]+)/([^/,]+)/")


@dataclass
class Role:
    arn: str
    trust: dict[str, Any]
    policy: dict[str, Any]
    longest: int = 3600

    @property
    def account(self) -> str:
        return self.arn.split(":")[4]


@dataclass
class Session:
    """A role's session; `caller` is who a CloudTrail would name."""

    role: Role
    name: str
    key_id: str
    secret: str
    token: str
    ends: float
    policy: dict[str, Any] | None

    @property
    def arn(self) -> str:
        partition, account = self.role.arn.split(":")[1], self.role.account
        role = self.role.arn.rsplit("/", 1)[1]
        return f"arn:{partition}:sts::{account}:assumed-role/{role}/{self.name}"

    def may(self, action: str, resource: str) -> bool:
        own = [self.role.policy, *([self.policy] if self.policy is not None else [])]
        return all(_allows(policy, action, resource) for policy in own)


@dataclass
class Took:
    """One call of STS that came: what, of which role, with which External ID, and its code."""

    what: str
    role: str
    external_id: str | None
    session: str
    code: str = ""


class Refusal(Exception):
    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(code)
        self.status, self.code, self.text = status, code, text


@dataclass
class Roles:
    """Roles, providers and sessions. `owner(key_id)` gives the secret and the account of an IAM
    user's key and what it may do, as `(secret, arn, may)`; None for no such key."""

    owner: Callable[[str], tuple[str, str, Callable[[str, str], bool]] | None]
    relying: RelyingParty = field(default_factory=RelyingParty)
    roles: dict[str, Role] = field(default_factory=dict)
    providers: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    took: list[Took] = field(default_factory=list)

    # --- STS ---------------------------------------------------------------------------------

    def answer(self, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        """Status and XML of a call of STS."""
        asked = {name: values[0] for name, values in parse_qs(body.decode(), True).items()}
        action = asked.get("Action", "")
        told = Took(
            action,
            asked.get("RoleArn", ""),
            asked.get("ExternalId"),
            asked.get("RoleSessionName", ""),
        )
        if action != "GetCallerIdentity":
            self.took.append(told)
        try:
            if asked.get("Version") != "2011-06-15":
                raise Refusal(400, "InvalidAction", "Could not find operation")
            if action == "AssumeRole":
                given = self._assume(asked, body, headers)
            elif action == "AssumeRoleWithWebIdentity":
                given = self._assume_with_identity(asked)
            elif action == "GetCallerIdentity":
                arn = self.caller(body, headers, "sts")[0]
                return 200, _xml(action, f"<Arn>{arn}</Arn><Account>{arn.split(':')[4]}</Account>")
            else:
                raise Refusal(400, "InvalidAction", "Could not find operation")
        except Refusal as refusal:
            told.code = refusal.code
            return refusal.status, _error(refusal)
        told.code = "ok"
        return 200, _xml(action, _told(given))

    def caller(
        self, body: bytes, headers: dict[str, str], service: str
    ) -> tuple[str, Callable[[str, str], bool], Session | None]:
        """Who signed: `(arn, may, session)`; raises `Refusal`."""
        found = _CREDENTIAL.search(headers.get("authorization", ""))
        if found is None:
            raise Refusal(403, "MissingAuthenticationToken", "Request is missing a token")
        key_id, region, named = found.groups()
        session = self.sessions.get(key_id)
        if session is not None:
            if headers.get("x-amz-security-token") != session.token:
                raise Refusal(403, "InvalidClientTokenId", "The security token is invalid.")
            secret, arn, may = session.secret, session.arn, session.may
        else:
            owner = self.owner(key_id)
            if owner is None or "x-amz-security-token" in headers:
                raise Refusal(403, "InvalidClientTokenId", "The security token is invalid.")
            secret, arn, may = owner
        if named != service or not _signed(body, headers, secret, key_id, region, service):
            text = "The request signature we calculated does not match the signature you provided."
            raise Refusal(403, "SignatureDoesNotMatch", text)
        if session is not None and time.time() > session.ends:
            raise Refusal(400, "ExpiredToken", "The security token included is expired")
        return arn, may, session

    def _assume(self, asked: dict[str, str], body: bytes, headers: dict[str, str]) -> Session:
        arn, may, session = self.caller(body, headers, "sts")
        wanted = asked.get("RoleArn", "")
        external_id = asked.get("ExternalId")
        if external_id is not None and not EXTERNAL_ID.fullmatch(external_id):
            raise Refusal(400, "ValidationError", "externalId failed to satisfy constraint")
        denied = Refusal(
            403,
            "AccessDenied",
            f"User: {arn} is not authorized to perform: sts:AssumeRole on resource: {wanted}",
        )
        role = self.roles.get(wanted)
        values = {} if external_id is None else {"sts:ExternalId": external_id}
        if role is None or not may("sts:AssumeRole", wanted):
            raise denied
        if not _trusts(role.trust, "sts:AssumeRole", {"AWS": arn}, values):
            raise denied
        # A session of a session lasts an hour at most.
        return self._open(role, asked, longest=3600 if session else role.longest)

    def _assume_with_identity(self, asked: dict[str, str]) -> Session:
        token, wanted = asked.get("WebIdentityToken", ""), asked.get("RoleArn", "")
        found = ROLE_ARN.fullmatch(wanted)
        if found is None:
            raise Refusal(400, "ValidationError", f"{wanted} is invalid")
        partition, account = found.groups()
        issuer = _claimed(token).get("iss", "")
        audiences = self.providers.get((account, issuer))
        if audiences is None:
            text = f"No OpenIDConnect provider found in your account for {issuer}"
            raise Refusal(400, "InvalidIdentityToken", text)
        try:
            claims = self.relying.checked(token, issuer=issuer, audiences=audiences)
        except NotAccepted as error:
            raise _REASONS.get(error.why, _REASONS["signature"]) from None
        name = issuer.removeprefix("https://")
        values = {f"{name}:aud": claims["aud"], f"{name}:sub": claims["sub"]}
        provider = {"Federated": f"arn:{partition}:iam::{account}:oidc-provider/{name}"}
        role = self.roles.get(wanted)
        if role is None or not _trusts(
            role.trust, "sts:AssumeRoleWithWebIdentity", provider, values
        ):
            text = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
            raise Refusal(403, "AccessDenied", text)
        return self._open(role, asked, longest=role.longest)

    def _open(self, role: Role, asked: dict[str, str], *, longest: int) -> Session:
        name, seconds = asked.get("RoleSessionName", ""), int(asked.get("DurationSeconds", 3600))
        if not SESSION_NAME.fullmatch(name):
            raise Refusal(400, "ValidationError", "roleSessionName failed to satisfy constraint")
        if not 900 <= seconds <= longest:
            raise Refusal(400, "ValidationError", "DurationSeconds exceeds the MaxSessionDuration")
        policy = asked.get("Policy")
        if policy is not None and len(policy) > MOST_POLICY:
            raise Refusal(400, "PackedPolicyTooLarge", "Packed policy consumes 104% of allotted")
        session = Session(
            role,
            name,
            "ASIA" + secrets.token_hex(8).upper(),
            base64.b64encode(secrets.token_bytes(30)).decode(),
            base64.b64encode(secrets.token_bytes(400)).decode(),
            time.time() + seconds,
            json.loads(policy) if policy is not None else None,
        )
        self.sessions[session.key_id] = session
        return session


_REASONS = {
    "unreadable": Refusal(
        400,
        "InvalidIdentityToken",
        "Couldn't retrieve verification key from your identity provider, please reference "
        "AssumeRoleWithWebIdentity documentation for requirements",
    ),
    "audience": Refusal(400, "InvalidIdentityToken", "Incorrect token audience"),
    "expired": Refusal(400, "ExpiredTokenException", "Token expired: current date/time must be"),
    "early": Refusal(400, "InvalidIdentityToken", "The ID Token provided is not yet valid"),
    "signature": Refusal(400, "InvalidIdentityToken", "The ID Token provided is not a valid JWT"),
}


def _claimed(token: str) -> dict[str, Any]:
    try:
        text = token.split(".")[1]
        return dict(json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))
    except (IndexError, ValueError, TypeError):
        raise _REASONS["signature"] from None


# --- judging ---------------------------------------------------------------------------------


def _signed(
    body: bytes, headers: dict[str, str], secret: str, key_id: str, region: str, service: str
) -> bool:
    """Whether the request's signature is that of this secret; and made within five minutes."""
    authorization = headers["authorization"]
    named = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    given = authorization.partition("Signature=")[2]
    request = AWSRequest("POST", f"http://{headers['host']}/", data=body)
    for name in named:
        request.headers[name] = headers[name]
    request.context["timestamp"] = headers["x-amz-date"]
    auth = SigV4Auth(Credentials(key_id, secret), service, region)
    canonical = auth.canonical_request(request)
    made = time.mktime(time.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ")) - time.timezone
    if abs(time.time() - made) > 300:
        raise Refusal(403, "SignatureDoesNotMatch", "Signature expired: it is now later than")
    return auth.signature(auth.string_to_sign(request, canonical), request) == given


def _statements(policy: dict[str, Any]) -> Iterator[dict[str, Any]]:
    found = policy["Statement"]
    yield from found if isinstance(found, list) else [found]


def _several(found: Any) -> list[str]:
    return [found] if isinstance(found, str) else list(found or [])


def _fits(patterns: Any, text: str) -> bool:
    # IAM's `*` and `?` are fnmatch's; its brackets aren't any.
    return any(
        fnmatch.fnmatchcase(text, pattern.replace("[", "[[]")) for pattern in _several(patterns)
    )


def _allows(policy: dict[str, Any], action: str, resource: str) -> bool:
    effects = [
        statement["Effect"]
        for statement in _statements(policy)
        if _fits(statement.get("Action"), action) and _fits(statement.get("Resource"), resource)
    ]
    return "Allow" in effects and "Deny" not in effects


def _trusts(
    trust: dict[str, Any], action: str, who: dict[str, str], values: dict[str, str]
) -> bool:
    effects = [
        statement["Effect"]
        for statement in _statements(trust)
        if _fits(statement.get("Action"), action)
        and _named(statement.get("Principal"), who)
        and _holds(statement.get("Condition", {}), values)
    ]
    return "Allow" in effects and "Deny" not in effects


def _named(principal: Any, who: dict[str, str]) -> bool:
    if principal == "*":
        return "AWS" in who
    (kind, arn), *_ = who.items()
    account = arn.split(":")[4]
    for name in _several((principal or {}).get(kind)):
        if name == "*" or name in {arn, account}:
            return True
        if kind == "AWS" and name.endswith(f"::{account}:root"):
            return True
        # A session is its role's.
        role = arn.replace(":sts:", ":iam:").replace(":assumed-role/", ":role/").rsplit("/", 1)[0]
        if kind == "AWS" and name == role:
            return True
    return False


def _holds(condition: dict[str, Any], values: dict[str, str]) -> bool:
    tests = {
        "StringEquals": lambda wanted, text: text in wanted,
        "StringLike": lambda wanted, text: _fits(wanted, text),
    }
    for operator, keys in condition.items():
        for name, wanted in keys.items():
            if name not in values or not tests[operator](_several(wanted), values[name]):
                return False
    return True


# --- XML -------------------------------------------------------------------------------------


def _xml(action: str, inner: str) -> str:
    return (
        f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>'
        f"{inner}</{action}Result><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>"
        f"</{action}Response>"
    )


def _told(session: Session) -> str:
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(session.ends))
    return (
        f"<AssumedRoleUser><AssumedRoleId>AROA1:{session.name}</AssumedRoleId>"
        f"<Arn>{session.arn}</Arn></AssumedRoleUser><Credentials>"
        f"<AccessKeyId>{session.key_id}</AccessKeyId>"
        f"<SecretAccessKey>{session.secret}</SecretAccessKey>"
        f"<SessionToken>{session.token}</SessionToken><Expiration>{ends}</Expiration>"
        "</Credentials><PackedPolicySize>6</PackedPolicySize>"
    )


def _error(refusal: Refusal) -> str:
    return (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>'
        f"<Type>Sender</Type><Code>{refusal.code}</Code><Message>{escape(refusal.text)}</Message>"
        "</Error><RequestId>1</RequestId></ErrorResponse>"
    )

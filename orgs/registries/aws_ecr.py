"""AWS ECR, with an IAM user's key or with the worker's own role.

The only importer of boto3 and botocore's client; both are imported inside
functions, since they cost a tenth of a second that most commands never need.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from .base import (
    Config,
    DockerLogin,
    Field,
    InstanceRoleLogin,
    LoginError,
    Problem,
    Refused,
    RegistryType,
)
from .ecr_hosts import (
    corrected_ecr_host,
    parse_ecr_host,
    parse_ecr_pattern_host,
    partition_of_region,
    region_choices,
    resembles_ecr,
)
from .patterns import MatchPattern

CONNECT_TIMEOUT = 2.0  # seconds; with READ_TIMEOUT and ATTEMPTS below the 8 s lease
READ_TIMEOUT = 2.5
ATTEMPTS = 2
# AWS says 12 hours. An expiry that isn't in the future can't be true of a token
# just given (fakes say 2015); then we count on no more than this.
UNSTATED_LIFE = timedelta(minutes=15)

_KEY_ID = re.compile(r"[A-Za-z0-9_]{16,128}")
_SECRET_LOOK = re.compile(r"(?=.*[/+a-z])[A-Za-z0-9/+]{40}")
_SECRET = re.compile(r"[!-~]{16,128}")
_ROLE_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/(?:[!-~]+/)?([^/]+)")
_ACTION = re.compile(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)")
_XML_CODE = re.compile(r"<Code>([A-Za-z.]+)</Code>")

REGION_FIELD = Field(
    name="region",
    label="Region",
    help="Where the registry is.",
    required=False,
    max_length=40,
    choices=region_choices,
    echo=r"[a-z]{2,5}(-[a-z]{2,10}){1,3}-[0-9]{1,2}",
)


class _Ecr(RegistryType):
    """What both ECR types share: true ECR hosts only, one region, one partition."""

    def secret_scope(self, config: Config, patterns: Sequence[MatchPattern]) -> frozenset[str]:
        return frozenset({partition_of_region(config.get("region", "")) or ""})

    def login_scope(self, host: str) -> str:
        found = parse_ecr_host(host)
        if found is None:
            return ""
        flags = (("fips", found.fips), ("dual-stack", found.dual_stack))
        return " ".join(name for name, flag in flags if flag)

    def example_host(self, pattern: MatchPattern) -> str:
        return pattern.authority.replace("*", "000000000000", 1)

    def _clean_region(self, region: str, patterns: Sequence[MatchPattern]) -> str:
        """The entry's region, from the field or the patterns; raises `Refused`."""
        problems: list[Problem] = []
        given = region = region.strip()
        for pattern in patterns:
            host = parse_ecr_pattern_host(pattern.host) if pattern.port is None else None
            if host is None:
                problems.append(_not_ecr(pattern))
                continue
            region = region or host.region
            if host.region == region:
                continue
            if given:
                what = f"The pattern's host is in {host.region}, but Region says {region}."
                fix = f"Choose {host.region}, or correct the host."
            else:
                what = f"The patterns name two regions, {region} and {host.region}."
                fix = "Make an entry for each: a login works in one region."
            same = host.partition == partition_of_region(region)
            code = "region_mismatch" if same else "partition_mismatch"
            problems.append(Problem(code, what, fix, "region" if given else "patterns"))
        if problems:
            raise Refused(*problems)
        return region

    def _refuse_login_elsewhere(self, config: Config, host: str) -> None:
        """The rule of save time, held again when the login is about to leave."""
        found = parse_ecr_host(host)
        if found is None or found.region != config.get("region"):
            raise LoginError(
                "entry_unusable",
                f"{host} isn't an ECR host in {config.get('region')}, so no login goes there.",
                "Correct the entry's match pattern.",
            )


class AwsEcr(_Ecr):
    """An IAM user's key, kept here; the server obtains a login of 12 hours with it."""

    slug = "aws-ecr"
    label = "AWS ECR (IAM credentials)"
    summary = "An IAM user's access key. Works on workers anywhere, in any cloud."
    minted = True
    fields = (
        Field(
            name="access_key_id",
            label="Access Key ID",
            help="Of an IAM user who may read the repositories; begins with AKIA.",
            example="AKIAIOSFODNN7EXAMPLE",
            max_length=128,
            strips_all_blanks=True,
            echo=r"A[A-Z]{3}[A-Z0-9]{12,28}",
        ),
        Field(
            name="secret_access_key",
            label="Secret Access Key",
            help="Shown by AWS once, when the key is made. It's stored sealed and never shown.",
            secret=True,
            max_length=200,
            paired_with="access_key_id",
            strips_all_blanks=True,
        ),
        REGION_FIELD,
    )

    def clean(
        self, config: Config, secrets: Config, patterns: Sequence[MatchPattern]
    ) -> tuple[dict[str, str], dict[str, str]]:
        problems: list[Problem] = []
        key_id = _without_blanks(config.get("access_key_id", ""))
        problems += _key_id_problems(key_id)
        secret = _without_blanks(secrets.get("secret_access_key", ""))
        if secret and (secret == key_id or not _SECRET.fullmatch(secret)):
            problems.append(
                Problem(
                    "secret_shape",
                    "This isn't a Secret Access Key.",
                    "Copy the 40 characters that AWS showed when the key was made.",
                    "secret_access_key",
                )
            )
        region = ""
        try:
            region = self._clean_region(config.get("region", ""), patterns)
        except Refused as refused:
            problems += refused.problems
        if problems:
            raise Refused(*problems)
        kept = {"secret_access_key": secret} if secret else {}
        return {"access_key_id": key_id, "region": region}, kept

    def login(
        self, config: Config, secrets: Config, host: str, endpoint_url: str = ""
    ) -> DockerLogin:
        self._refuse_login_elsewhere(config, host)
        key_id, secret = config.get("access_key_id"), secrets.get("secret_access_key")
        if not key_id or not secret:
            # boto3 would silently sign with the server's own identity instead.
            raise LoginError(
                "entry_unusable", "The entry has no complete key.", "Enter key and secret again."
            )
        client = _client(key_id, secret, config["region"], self.login_scope(host), endpoint_url)
        return _mint(client, key_id, config["region"])


class AwsEcrRole(_Ecr):
    """The role of the worker itself; the server holds no secret and calls nothing."""

    slug = "aws-ecr-role"
    label = "AWS ECR (Instance Role)"
    summary = "The role attached to your EC2 workers. No key to keep; for AWS-only workers."
    completed_on_worker = True
    fields = (
        Field(
            name="role_name",
            label="Role name",
            help="The role attached to the workers, not its instance profile.",
            example="ValohaiWorkerRole",
            max_length=200,
            strips_all_blanks=True,
            echo=r"arn:aws[a-z-]*:[a-z]+::[0-9]{12}:[!-~]{1,100}",
        ),
        REGION_FIELD,
    )

    def clean(
        self, config: Config, secrets: Config, patterns: Sequence[MatchPattern]
    ) -> tuple[dict[str, str], dict[str, str]]:
        problems: list[Problem] = []
        role, region = _without_blanks(config.get("role_name", "")), ""
        if not role:
            problems.append(
                Problem("required", "Role name is empty.", "Enter the worker role.", "role_name")
            )
        elif arn := _ROLE_ARN.fullmatch(role):
            role = arn[1]
        if role and not _ROLE_NAME.fullmatch(role):
            problems.append(
                Problem(
                    "role_name_shape",
                    f"{role[:80]} isn't the name of a role.",
                    "Write the role's name or its ARN (arn:aws:iam::…:role/ValohaiWorkerRole), "
                    "not that of an instance profile, a session or a user.",
                    "role_name",
                )
            )
        try:
            region = self._clean_region(config.get("region", ""), patterns)
        except Refused as refused:
            problems += refused.problems
        if problems:
            raise Refused(*problems)
        return {"role_name": role, "region": region}, {}

    def login(
        self, config: Config, secrets: Config, host: str, endpoint_url: str = ""
    ) -> InstanceRoleLogin:
        self._refuse_login_elsewhere(config, host)
        return InstanceRoleLogin(role_name=config["role_name"], region=config["region"])


def _without_blanks(text: str) -> str:
    return "".join(text.split())


def _not_ecr(pattern: MatchPattern) -> Problem:
    host = pattern.authority
    path = str(pattern).removeprefix(host)
    corrected = corrected_ecr_host(host)
    write = f"{corrected or '123456789012.dkr.ecr.us-east-1.amazonaws.com'}{path}"
    what = (
        "resembles an Amazon ECR host but isn't one"
        if resembles_ecr(host)
        else ("isn't an Amazon ECR host")
    )
    return Problem(
        "lookalike_host",
        f"{host} {what}, so no AWS login will go there.",
        f"Write {write}, or choose the type of the registry that really runs there."
        if corrected
        else f"Write a host like {write}, or choose the type of the registry that runs there.",
        "patterns",
        suggestion=f"{corrected}{path}" if corrected else None,
    )


def _key_id_problems(key_id: str) -> list[Problem]:
    def problem(code: str, what: str, fix: str) -> list[Problem]:
        return [Problem(code, what, fix, "access_key_id")]

    if not key_id:
        return problem("required", "Access Key ID is empty.", "Enter the IAM user's key ID.")
    if _SECRET_LOOK.fullmatch(key_id):
        return problem(
            "key_id_shape",
            "This looks like a Secret Access Key.",
            "Enter the Access Key ID here, which begins with AKIA, and the secret below.",
        )
    if key_id.upper().startswith("ASIA"):
        return problem(
            "temporary_key",
            "This key is temporary and will expire.",
            "Use one that begins with AKIA.",
        )
    if not _KEY_ID.fullmatch(key_id):
        return problem(
            "key_id_shape",
            "An Access Key ID has 16 to 128 letters, digits or underscores.",
            "Copy it from the IAM user's Security credentials; it begins with AKIA.",
        )
    return []


# --- the call ---------------------------------------------------------------


@cache
def _loader() -> Any:
    """botocore's own data and no other (~/.aws/models), parsed once a process."""
    from botocore.loaders import Loader

    return Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)


def _client(key_id: str, secret: str, region: str, scope: str, endpoint_url: str) -> Any:
    """An ECR client that knows this key and nothing of the server's surroundings.

    Every session variable loses its environment name and config file entry, so
    no ambient profile, region, retry or endpoint setting has a say; the CA
    bundle and proxies stay, as they belong to the network.
    """
    import botocore.session
    from botocore.config import Config as BotoConfig

    variables = {
        name: (None, None, default, convert)
        for name, (_, _, default, convert) in botocore.session.Session.SESSION_VARIABLES.items()
        if name != "ca_bundle"
    }
    variables["config_file"] = variables["credentials_file"] = (None, None, "/dev/null", None)
    session = botocore.session.Session(session_vars=variables)
    session.register_component("data_loader", _loader())
    return session.create_client(
        "ecr",
        region_name=region,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        endpoint_url=endpoint_url or None,
        config=BotoConfig(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            use_fips_endpoint="fips" in scope,
            use_dualstack_endpoint="dual-stack" in scope,
            ignore_configured_endpoint_urls=True,
        ),
    )


def _mint(client: Any, key_id: str, region: str) -> DockerLogin:
    """GetAuthorizationToken with the client's key; blocking, ≤ 8 s; `LoginError`."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = client.get_authorization_token()
        given = answer["authorizationData"][0]
        token = base64.b64decode(given["authorizationToken"]).decode()
        username, _, password = token.partition(":")
        expires_at = given["expiresAt"].astimezone(UTC)
    except ClientError as error:
        raise _told(error, key_id, region, client.meta.endpoint_url) from None
    except BotoCoreError:
        raise _unreachable(region, client.meta.endpoint_url) from None
    except (KeyError, IndexError, TypeError, ValueError):
        raise _unreachable(region, client.meta.endpoint_url, "answered with no login") from None
    finally:
        client.close()
    if not username or not password:
        raise _unreachable(region, client.meta.endpoint_url, "answered with no login")
    now = datetime.now(UTC)
    return DockerLogin(username, password, expires_at if expires_at > now else now + UNSTATED_LIFE)


def _unreachable(region: str, endpoint: str, how: str | None = None) -> LoginError:
    seconds = ATTEMPTS * READ_TIMEOUT
    return LoginError(
        "registry_unreachable",
        f"AWS ECR in {region} {how or f'didn’t answer within {seconds:.0f} seconds'}.",
        "Wait: workers can't pull until it answers; if it lasts, check this server's way "
        f"to {endpoint}.",
        retry_after=5,
    )


def _told(error: Any, key_id: str, region: str, endpoint: str) -> LoginError:
    """AWS's error in our words. Its own text never travels: only the action's name."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    text = str(error.response.get("Error", {}).get("Message", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if in_xml := _XML_CODE.search(text):  # a body that isn't JSON arrives as text
        code = in_xml[1]
    if code in {"AccessDeniedException", "AccessDenied"}:
        action = _ACTION.search(text)
        return LoginError(
            "access_denied",
            f"AWS accepts the key {key_id}, but its user may not call "
            f"{action[1] if action else 'ecr:GetAuthorizationToken'}.",
            "Attach the policy valohai-ecr-policy to that user, wait a few seconds, and try again.",
        )
    expired = "Signature expired" in text or "not yet current" in text
    if code == "RequestExpired" or (
        code in {"InvalidSignatureException", "SignatureDoesNotMatch"} and expired
    ):
        return LoginError(
            "clock_skew",
            "This server's clock differs from AWS's by minutes, so AWS refuses its requests.",
            "Ask staff to set the server's clock (NTP).",
            retry_after=5,
        )
    if code in {"InvalidSignatureException", "SignatureDoesNotMatch"}:
        return LoginError(
            "signature_mismatch",
            f"AWS knows the key {key_id}, but this secret isn't its own.",
            "Replace the secret; if it's lost, create a new key in IAM, since AWS shows "
            "a secret only once.",
        )
    if code in {
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidAccessKeyId",
        "AuthFailure",
        "OptInRequired",
        "ExpiredTokenException",
    }:
        return LoginError(
            "invalid_key",
            f"AWS doesn't know the key {key_id}, or it's inactive.",
            "Check it under the IAM user's Security credentials, then enter it again; "
            f"if it is right, check that the account has the region {region} enabled.",
        )
    if status == 429 or "Throttl" in code or code in {"TooManyRequestsException", "SlowDown"}:
        return LoginError(
            "throttled",
            f"AWS ECR in {region} answers too many requests of this account already.",
            "Wait: it is asked again by itself.",
            retry_after=5,
        )
    what = "has trouble of its own" if status >= 500 else f"refused the request ({status})"
    return _unreachable(region, endpoint, what)

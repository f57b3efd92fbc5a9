"""AWS's own API of ECR, asked with one explicit key and nothing of the server's.

The only importer of botocore's client; imported inside functions, since it costs a
tenth of a second that most commands never need.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from .base import MOST_LISTED, NO_LOGIN, DockerLogin, Image, LoginError

CONNECT_TIMEOUT = 2.0  # seconds; with READ_TIMEOUT and ATTEMPTS below the 8 s lease
READ_TIMEOUT = 2.5
ATTEMPTS = 2
# AWS says 12 hours. An expiry that isn't in the future can't be true of a token
# just given (fakes say 2015); then we count on no more than this.
UNSTATED_LIFE = timedelta(minutes=15)

_MOST_PAGES = 5  # filtered ones may be far from full
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
# The length that ECR's own model wants (RepositoryName); the rest is the path's grammar.
_REPOSITORY = re.compile(r"[a-z0-9._/-]{2,256}")
_ACTION = re.compile(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)")
_XML_CODE = re.compile(r"<Code>([A-Za-z.]+)</Code>")


class EcrApi:
    """ECR in one region, as one key sees it. Blocking; each method raises `LoginError`.

    `scope` is that of `RegistryType.login_scope`: which of the region's endpoints.
    `account` is whose registry is listed; "" for the key's own.
    """

    def __init__(
        self,
        key_id: str,
        secret: str,
        region: str,
        scope: str = "",
        endpoint_url: str = "",
        account: str = "",
    ) -> None:
        self.key_id = key_id
        self.region = region
        self.account = account
        self._client = _client(key_id, secret, region, scope, endpoint_url)

    def close(self) -> None:
        self._client.close()

    def login(self) -> DockerLogin:
        """GetAuthorizationToken; 8 seconds at most."""
        try:
            (given, *_) = self._ask("get_authorization_token")["authorizationData"]
            token = base64.b64decode(given["authorizationToken"]).decode()
            username, _, password = token.partition(":")
            expires_at = given["expiresAt"].astimezone(UTC)
        except (KeyError, IndexError, TypeError, ValueError):
            raise self._unreachable("answered with no login") from None
        if not username or not password:
            raise self._unreachable("answered with no login")
        now = datetime.now(UTC)
        later = expires_at if expires_at > now else now + UNSTATED_LIFE
        return DockerLogin(username, password, later)

    def repositories(self) -> list[str]:
        """DescribeRepositories: the account's repositories, sorted; at most 1,000.

        Raises also `listing_denied`: without names it is authorized on `repository/*`,
        which a policy for some repositories doesn't allow.
        """

        def denied() -> LoginError:
            return LoginError(
                "listing_denied",
                "This key may not list repositories, which pulling doesn't need.",
                "Look at one by its name.",
            )

        found = self._listed("describe_repositories", "repositories", {"AccessDenied": denied})
        return sorted(each["repositoryName"] for each in found if "repositoryName" in each)

    def images(self, repository: str) -> list[Image]:
        """DescribeImages: the tags of a repository, newest first, of at most 1,000 images.

        ECR gives them in no order of use (aws/aws-cli#6929), so all are read before they
        are sorted. Raises also `image_denied` and `image_not_found`.
        """

        def denied() -> LoginError:
            return LoginError(
                "image_denied",
                f"This key may not see which images {repository} has.",
                f"Allow it ecr:DescribeImages on {repository} in the policy valohai-ecr-policy, "
                "wait a few seconds, and look again; a repository of another account must allow "
                "it in its own policy too.",
            )

        def unknown() -> LoginError:
            return LoginError(
                "image_not_found",
                f"There is no repository {repository} in {self.region}"
                f"{f' of the account {self.account}' if self.account else ''}.",
                "Correct the name, or push an image to it.",
            )

        if not _REPOSITORY.fullmatch(repository):
            raise unknown()  # boto3 wouldn't send it
        found = self._listed(
            "describe_images",
            "imageDetails",
            {"AccessDenied": denied, "RepositoryNotFound": unknown},
            repositoryName=repository,
            filter={"tagStatus": "TAGGED"},
        )
        images = [
            Image(repository, tag, _in_utc(each.get("imagePushedAt")), each.get("imageSizeInBytes"))
            for each in found
            for tag in each.get("imageTags", ())
        ]
        return sorted(images, key=lambda image: (image.pushed_at or _LONG_AGO, image.tag))[::-1]

    def _listed(
        self, operation: str, key: str, told: dict[str, Callable[[], LoginError]], **about: Any
    ) -> list[Any]:
        """Page after page; `told` has the errors, by code, that mean something else here."""
        if self.account:
            about["registryId"] = self.account
        found: list[Any] = []
        token: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            answer = self._ask(operation, told, maxResults=MOST_LISTED, **about, **token)
            found += answer.get(key, ())
            token = {"nextToken": answer["nextToken"]} if answer.get("nextToken") else {}
            if not token or len(found) >= MOST_LISTED:
                break
        return found[:MOST_LISTED]

    def _ask(
        self,
        operation: str,
        told: dict[str, Callable[[], LoginError]] | None = None,
        **arguments: Any,
    ) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        ask = getattr(self._client, operation)
        try:
            return ask(**arguments)
        except ClientError as error:
            code = _code(error).removesuffix("Exception")
            if told and code in told:
                raise told[code]() from None
            raise self._told(error) from None
        except BotoCoreError:
            raise self._unreachable() from None
        except (ResponseParserError, AttributeError, TypeError, ValueError):
            # botocore expects JSON of the right shape, and trips over anything else.
            raise self._unreachable("answered what isn't ECR's language") from None

    def _unreachable(self, how: str | None = None) -> LoginError:
        seconds = ATTEMPTS * READ_TIMEOUT
        return LoginError(
            "registry_unreachable",
            f"AWS ECR in {self.region} {how or f'didn’t answer within {seconds:.0f} seconds'}.",
            f"Wait: {NO_LOGIN}; if it lasts, check this server's way to "
            f"{self._client.meta.endpoint_url}.",
            retry_after=5,
        )

    def _told(self, error: Any) -> LoginError:
        """AWS's error in our words. Its own text never travels: only the action's name."""
        code = _code(error)
        text = str(error.response.get("Error", {}).get("Message", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in {"AccessDeniedException", "AccessDenied"}:
            action = _ACTION.search(text)
            return LoginError(
                "access_denied",
                f"AWS accepts the key {self.key_id}, but its user may not call "
                f"{action[1] if action else 'ecr:GetAuthorizationToken'}.",
                "Attach the policy valohai-ecr-policy to that user, wait a few seconds, and try "
                "again.",
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
                f"AWS knows the key {self.key_id}, but this secret isn't its own.",
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
                f"AWS doesn't know the key {self.key_id}, or it's inactive.",
                "Check it under the IAM user's Security credentials, then enter it again; "
                f"if it is right, check that the account has the region {self.region} enabled.",
            )
        if status == 429 or "Throttl" in code or code in {"TooManyRequestsException", "SlowDown"}:
            return LoginError(
                "throttled",
                f"AWS ECR in {self.region} answers too many requests of this account already.",
                "Wait: it is asked again by itself.",
                retry_after=5,
            )
        what = "has trouble of its own" if status >= 500 else f"refused the request ({status})"
        return self._unreachable(what)


def _code(error: Any) -> str:
    """What AWS calls the error; a body that isn't JSON arrives as the message's text."""
    told = error.response.get("Error", {})
    in_xml = _XML_CODE.search(str(told.get("Message", "")))
    return in_xml[1] if in_xml else str(told.get("Code", ""))


def _in_utc(moment: Any) -> datetime | None:
    return moment.astimezone(UTC) if isinstance(moment, datetime) else None


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

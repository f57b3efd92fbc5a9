"""AWS's own API of ECR and of ECR Public, as one key sees it, in our words."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from . import aws, provider_calls
from .aws_denials import denial
from .outbound import Unreachable
from .private import private
from .problems import Failed
from .types import MOST_LISTED, DockerLogin, Image

SERVICE = aws.Service("ecr", "AmazonEC2ContainerRegistry_V20150921")
PUBLIC_SERVICE = aws.Service("ecr-public", "SpencerFrontendService")
PUBLIC_REGION = "us-east-1"  # the only one that has it (ECR Public user guide, «Registries»)
# AWS says 12 hours, and no more is believed. An expiry that isn't in the future can't be
# true of a token just given (fakes say 2015); then we count on no more than this.
MOST_LIFE = timedelta(hours=12)

_MOST_PAGES = 5  # filtered ones may be far from full
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
# The length that ECR's own model wants (RepositoryName); the rest is the path's grammar.
_REPOSITORY = re.compile(r"[a-z0-9._/-]{2,256}")


class AwsApi:
    """One service, as one key sees it. Blocking, usable by several threads; each method
    raises `Failed`, at the deadline (`time.monotonic()` seconds) at the latest."""

    service: aws.Service
    product: str
    policy: str
    """The name of the policy that lets a key's user have a login."""

    def __init__(self, key: aws.Key, region: str, url: str, deadline: float) -> None:
        self.region = region
        self.url = url
        self._key = key
        self._began = time.monotonic()
        self._deadline = deadline

    def login(self) -> DockerLogin:
        """GetAuthorizationToken."""
        given = self._authorization(self._ask("GetAuthorizationToken", {}))
        try:
            token = base64.b64decode(given["authorizationToken"], validate=True).decode()
            username, _, password = token.partition(":")
            login = provider_calls.password(username), provider_calls.password(password)
        except (KeyError, IndexError, TypeError, ValueError, provider_calls.Foreign):
            raise self._unreachable("answered with no login") from None
        ends = provider_calls.believed(_moment(given.get("expiresAt")), MOST_LIFE)
        return DockerLogin(*login, ends)

    @property
    def _region_too(self) -> str:
        """What else may be behind an unknown key: at AWS a region that the account hasn't
        enabled looks the same."""
        return f"; if it is right, check that the account has the region {self.region} enabled"

    def _authorization(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The part of the answer that is the login; {} where there is none."""
        raise NotImplementedError

    def _ask(
        self,
        operation: str,
        content: dict[str, Any],
        told: Mapping[str, Callable[[], Failed]] | None = None,
    ) -> dict[str, Any]:
        try:
            return self._sent(operation, content)
        except aws.Fault as fault:
            if told and (meant := told.get(fault.code.removesuffix("Exception"))):
                raise _because(meant(), fault) from None
            raise self._told(fault) from None
        except provider_calls.Foreign:
            raise self._unreachable("answered what isn't ECR's language") from None
        except Unreachable as error:
            what = provider_calls.unanswered(error, self._where, self._began)
            raise provider_calls.unreachable(what, self.url) from None

    def _sent(self, operation: str, content: dict[str, Any]) -> dict[str, Any]:
        """The answer; raises as `aws.ask` does."""
        return aws.ask(
            self.service,
            operation,
            content,
            key=self._key,
            region=self.region,
            url=self.url,
            deadline=self._deadline,
        )

    @property
    def _where(self) -> str:
        return f"{self.product} in {self.region}"

    def _unreachable(self, how: str) -> Failed:
        return provider_calls.unreachable(f"{self._where} {how}.", self.url)

    def _told(self, fault: aws.Fault) -> Failed:
        """AWS's error in our words. Its own text never travels: only the action's name."""
        code, text = fault.code, fault.text
        whose = private(f" {self._key.id}")
        if code in {"AccessDeniedException", "AccessDenied"}:
            denied = denial(text)
            holder, role = "user", private(f" {self._key.role}")
            may_not = f"AWS accepts the key{whose}, but its user may not call"
            if self._key.role:
                holder, may_not = (
                    "role",
                    f"AWS lets this server take the role{role}, but it may not call",
                )
            return Failed(
                "access_denied",
                f"{may_not} "
                f"{denied.action or f'{self.service.name}:GetAuthorizationToken'}{denied.why}.",
                denied.fix(
                    f"Attach the policy {self.policy} to that {holder}, wait a few seconds, and "
                    "try again."
                ),
                mended_elsewhere=not denied.mended_by_allowing,
            )
        expired = "Signature expired" in text or "not yet current" in text
        if code == "RequestExpired" or (
            code in {"InvalidSignatureException", "SignatureDoesNotMatch"} and expired
        ):
            return Failed(
                "clock_skew",
                "This server's clock differs from AWS's by minutes, so AWS refuses its requests.",
                "Ask staff to set the server's clock (NTP).",
                retry_after=5,
            )
        if code in {"InvalidSignatureException", "SignatureDoesNotMatch"}:
            return Failed(
                "signature_mismatch",
                f"AWS knows the key{whose}, but this secret isn't its own.",
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
            return Failed(
                "invalid_key",
                f"AWS doesn't know the key{whose}, or it's inactive.",
                "Check it under the IAM user's Security credentials, then enter it again"
                f"{self._region_too}.",
            )
        if fault.throttled:
            return provider_calls.throttled(self._where, " of this account")
        broken = "has trouble of its own"
        return self._unreachable(
            broken if fault.status >= 500 else f"refused the request ({code or fault.status})"
        )


class EcrApi(AwsApi):
    """ECR in one region.

    `scope` is that of `RegistryType.login_scope`: which of the region's endpoints.
    `account` is whose registry is listed; "" for the key's own. `endpoint_url` stands in
    for AWS where it isn't "".
    """

    service = SERVICE
    product = "AWS ECR"
    policy = "valohai-ecr-policy"

    def __init__(
        self,
        key: aws.Key,
        region: str,
        scope: str = "",
        endpoint_url: str = "",
        account: str = "",
        *,
        deadline: float,
    ) -> None:
        url = endpoint_url or aws.endpoint(
            SERVICE, region, fips="fips" in scope, dual_stack="dual-stack" in scope
        )
        super().__init__(key, region, url, deadline)
        self.account = account

    def _authorization(self, answer: dict[str, Any]) -> dict[str, Any]:
        given = _list(answer.get("authorizationData"))
        return given[0] if given and isinstance(given[0], dict) else {}

    def repositories(self) -> list[str]:
        """DescribeRepositories: the account's repositories, sorted; at most 1,000.

        Raises also `listing_denied`: without names it is authorized on `repository/*`,
        which a policy for some repositories doesn't allow.
        """

        def denied() -> Failed:
            return Failed(
                "listing_denied",
                "This key may not list repositories, which pulling doesn't need.",
                "Look at one by its name.",
            )

        found = self._listed("DescribeRepositories", "repositories", {"AccessDenied": denied})
        names = (each.get("repositoryName") for each in found)
        return sorted(name for name in names if isinstance(name, str))

    def images(self, repository: str) -> list[Image]:
        """DescribeImages: the tags of a repository, newest first, of at most 1,000 images.

        ECR gives them in no order of use (aws/aws-cli#6929), so all are read before they
        are sorted. Raises also `image_denied` and `image_not_found`.
        """

        def denied() -> Failed:
            return Failed(
                "image_denied",
                f"This key may not see which images {repository} has.",
                f"Allow it ecr:DescribeImages on {repository} in the policy valohai-ecr-policy, "
                "wait a few seconds, and look again; a repository of another account must allow "
                "it in its own policy too.",
            )

        def unknown() -> Failed:
            return Failed(
                "image_not_found",
                f"There is no repository {repository} in {self.region}"
                f"{f' of the account {self.account}' if self.account else ''}.",
                "Correct the name, or push an image to it.",
            )

        if not _REPOSITORY.fullmatch(repository):
            raise unknown()  # ECR's own model wouldn't take it
        found = self._listed(
            "DescribeImages",
            "imageDetails",
            {"AccessDenied": denied, "RepositoryNotFound": unknown},
            repositoryName=repository,
            filter={"tagStatus": "TAGGED"},
        )
        images = [
            Image(repository, tag, _moment(each.get("imagePushedAt")), _size(each))
            for each in found
            for tag in _list(each.get("imageTags"))
            if isinstance(tag, str)
        ]
        return sorted(images, key=lambda image: (image.pushed_at or _LONG_AGO, image.tag))[::-1]

    def _listed(
        self, operation: str, key: str, told: dict[str, Callable[[], Failed]], **about: Any
    ) -> list[Any]:
        """Page after page; `told` has the errors, by code, that mean something else here."""
        if self.account:
            about["registryId"] = self.account
        found: list[dict[str, Any]] = []
        token: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            asked = {"maxResults": MOST_LISTED, **about, **token}
            answer = self._ask(operation, asked, told)
            found += [each for each in _list(answer.get(key)) if isinstance(each, dict)]
            token = {"nextToken": answer["nextToken"]} if answer.get("nextToken") else {}
            if not token or len(found) >= MOST_LISTED:
                break
        return found[:MOST_LISTED]


class EcrPublicApi(AwsApi):
    """ECR Public, which is one for the whole world. `endpoint_url` stands in for AWS where
    it isn't ""."""

    service = PUBLIC_SERVICE
    product = "AWS ECR Public"
    policy = "valohai-ecr-public-policy"
    _region_too = ""  # no account is without this one

    def __init__(self, key: aws.Key, endpoint_url: str = "", *, deadline: float) -> None:
        url = endpoint_url or aws.endpoint(PUBLIC_SERVICE, PUBLIC_REGION)
        super().__init__(key, PUBLIC_REGION, url, deadline)

    def _authorization(self, answer: dict[str, Any]) -> dict[str, Any]:
        given = answer.get("authorizationData")
        return given if isinstance(given, dict) else {}


def _because(meant: Failed, fault: aws.Fault) -> Failed:
    """The same, where a policy denies it that no Allow of the user's own outweighs."""
    denied = denial(fault.text)
    if denied.mended_by_allowing:
        return meant
    what = f"{meant.what.removesuffix('.')}{denied.why}."
    return type(meant)(meant.code, what, denied.fix(""), mended_elsewhere=True)


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def _size(image: dict[str, Any]) -> int | None:
    size = image.get("imageSizeInBytes")
    return size if isinstance(size, int) else None


def _moment(seconds: Any) -> datetime | None:
    """A time as AWS's JSON has it, in seconds since the epoch; None for anything else."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None

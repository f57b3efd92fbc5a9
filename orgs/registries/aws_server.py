"""This server's own identity at AWS, which takes customers' roles where staff switched that on.

The one exception to never using what lies around: an instance's, a task's or a pod's role, or
a key in the environment. Never a profile, a file or a process that a file names. Whose it is,
and what is wrong with it, no tenant is told.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass, field
from typing import Any

from . import aws
from .aws_sts import StsApi
from .ecr_hosts import partition_of_region
from .problems import Failed

_one = threading.Lock()
_found: list[Any] = []
_thread = ThreadPoolExecutor(1, thread_name_prefix="own-identity")
_asking: list[Future[aws.Key | None]] = []
_arns: dict[str, str] = {}  # by the key's id; a session's changes every few hours


@dataclass(frozen=True)
class Own:
    """Who this server is at AWS, by its ARN, and what it signs with."""

    arn: str
    key: aws.Key = field(repr=False)

    @property
    def partition(self) -> str:
        return self.arn.split(":")[1]

    @property
    def account(self) -> str:
        return account_of(self.arn)


class OwnSts(StsApi):
    """STS, asked by this server's own identity: what is wrong with that is for staff to mend, and
    says nothing of an entry."""

    def _told(self, fault: aws.Fault) -> Failed:
        found = super()._told(fault)
        if found.code in {"invalid_key", "signature_mismatch"}:
            return _unknown("AWS doesn't accept this server's own identity")
        return found


def account_of(arn: str) -> str:
    """The account of an ARN; "" where there is none."""
    parts = arn.split(":")
    return parts[4] if len(parts) > 5 else ""


def identity(endpoint_url: str, deadline: float) -> Own:
    """Who this server is, as AWS says it; blocking, until `deadline` (monotonic). Raises
    `Failed`: where it has no identity, nothing else is used."""
    own = key(deadline)
    if own.id not in _arns:
        # Where it is at home: its key and token are shown to no other partition.
        api = OwnSts(own, home(), endpoint_url, fips=False, deadline=deadline)
        arn = api.caller()
        if not account_of(arn).isdecimal() or partition_of_region(home()) != arn.split(":")[1]:
            raise _unknown("AWS doesn't say whose this server's own identity is")
        if len(_arns) > 100:
            _arns.clear()
        _arns[own.id] = arn
    return Own(_arns[own.id], own)


def home() -> str:
    """The region that this server is in, as AWS's own tools are told."""
    named = (os.environ.get(name) for name in ("AWS_REGION", "AWS_DEFAULT_REGION"))
    return next(filter(None, named), "us-east-1")


def key(deadline: float) -> aws.Key:
    """What this server signs with for itself; blocking, until `deadline` (monotonic). Raises
    `Failed`: where it has no identity, nothing else is used."""
    # botocore renews it by itself, and knows no bound: so a thread of its own waits for it.
    with _one:
        if not _asking or _asking[0].done():
            _asking[:] = [_thread.submit(_look)]
        asking = _asking[0]
    try:
        found = asking.result(max(0.0, deadline - time.monotonic()))
    except Late:
        raise _unknown("This server's AWS identity didn't come in time") from None
    except Exception:  # its text may quote an answer
        raise _unknown("This server's AWS identity can't be had") from None
    if found is None:
        raise _unknown("This server has no AWS identity of its own")
    return found


def forget() -> None:
    """Look for it anew the next time."""
    with _one:
        _found.clear()
        _asking.clear()
        _arns.clear()


def _unknown(what: str) -> Failed:
    return Failed(
        "issuer_unreachable",
        f"{what}, so it can't take the role.",
        "Ask staff to look at AWS_SERVER_IDENTITY and at the identity that this server runs with.",
        retry_after=60,
    )


def _look() -> aws.Key | None:
    if not _found:
        credentials = _resolver().load_credentials()
        if credentials is None:
            return None
        _found.append(credentials)
    frozen = _found[0].get_frozen_credentials()
    # A file or a variable often ends in a line break, which a header can't have.
    parts = [(text or "").strip() for text in (frozen.access_key, frozen.secret_key, frozen.token)]
    if not all(parts[:2]) or not all(part.isascii() and part.isprintable() for part in parts):
        return None
    return aws.Key(*parts)


def _resolver() -> Any:
    """Imported late: most servers never need it."""
    from botocore import credentials
    from botocore.session import Session
    from botocore.utils import InstanceMetadataFetcher

    # No profile, and no file of one, whatever the environment names.
    nothing: Any = (None, [], None, None)
    nowhere: Any = (None, [], os.devnull, None)
    session = Session({"profile": nothing, "config_file": nowhere, "credentials_file": nowhere})
    where = {"ec2_metadata_service_endpoint": os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT")}
    fetcher = InstanceMetadataFetcher(timeout=1, num_attempts=2, config=where)
    return credentials.CredentialResolver(
        [
            credentials.EnvProvider(),
            credentials.AssumeRoleWithWebIdentityProvider(
                load_config=dict, client_creator=session.create_client, profile_name=""
            ),
            credentials.ContainerProvider(),
            credentials.InstanceMetadataProvider(iam_role_fetcher=fetcher),
        ]
    )

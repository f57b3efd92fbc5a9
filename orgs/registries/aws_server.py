"""This server's own identity at AWS, which takes customers' roles where staff switched that on.

The one exception to never using what lies around: an instance's, a task's or a pod's role, or
a key in the environment. Never a profile, a file or a process that a file names.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from typing import Any

from . import aws
from .problems import Failed

_one = threading.Lock()
_found: list[Any] = []
_thread = ThreadPoolExecutor(1, thread_name_prefix="own-identity")
_asking: list[Future[aws.Key | None]] = []


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


def _unknown(what: str) -> Failed:
    return Failed(
        "registry_unreachable",
        f"{what}, so it can't take the role.",
        "Ask staff to look at AWS_SERVER_IDENTITY and at the role that this server runs with.",
        retry_after=5,
    )


def _look() -> aws.Key | None:
    if not _found:
        credentials = _resolver().load_credentials()
        if credentials is None:
            return None
        _found.append(credentials)
    frozen = _found[0].get_frozen_credentials()
    if not frozen.access_key or not frozen.secret_key:
        return None
    return aws.Key(frozen.access_key, frozen.secret_key, frozen.token or "")


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

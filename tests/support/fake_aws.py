"""A fake AWS on loopback: moto's server, whose IAM really judges, answering ECR as AWS does.

moto (5.2) does the hard part, under enforcement: it recomputes the request's signature and
evaluates the user's policies. What is wrong for us, `aws_app.py` mends: moto's verdicts are 403 XML
(ECR answers 400, JSON with `__type`); its token is `<account>-auth-token`, valid until 2015 (ECR's
is a few KB, new each time, valid 12 hours); and it never fails (AWS hangs, throttles, breaks down).

In the test's own process: `with FakeAws() as aws`. Across processes: `with RemoteFakeAws() as aws`,
or by hand `python -m tests.support.fake_aws --port 5055`. All have the methods of `AwsControl`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, ClassVar

from moto import settings
from moto.core.base_backend import BackendDict
from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import make_server

from tests.support import PROJECT_ROOT
from tests.support.aws_app import ACCOUNT, FAULT_KINDS, AwsApp, Call
from tests.support.aws_roles_app import Role, Roles

READ_ACTIONS = (
    "ecr:DescribeImageScanFindings",
    "ecr:GetLifecyclePolicyPreview",
    "ecr:GetDownloadUrlForLayer",
    "ecr:BatchGetImage",
    "ecr:DescribeImages",
    "ecr:DescribeRepositories",
    "ecr:ListTagsForResource",
    "ecr:ListImages",
    "ecr:BatchCheckLayerAvailability",
    "ecr:GetRepositoryPolicy",
    "ecr:GetLifecyclePolicy",
)


class AwsControl:
    """What a test may do with a fake AWS, wherever it runs."""

    url: str

    def _do(self, action: str, **arguments: Any) -> Any:
        raise NotImplementedError

    def create_user(
        self,
        name: str,
        policy: dict[str, Any] | None = None,
        *,
        account: str = ACCOUNT,
        partition: str = "aws",
    ) -> tuple[str, str]:
        """Create an IAM user with this policy, or none; return access key id and secret."""
        key_id, secret = self._do(
            "create_user", name=name, policy=policy, account=account, partition=partition
        )
        return key_id, secret

    def put_policy(self, name: str, policy: dict[str, Any]) -> None:
        """Set or replace a user's policy."""
        self._do("put_policy", name=name, policy=policy)

    def remove_policy(self, name: str) -> None:
        self._do("remove_policy", name=name)

    def create_key(self, name: str) -> tuple[str, str]:
        """Give a user one more access key (AWS allows two), as in a key rotation."""
        key_id, secret = self._do("create_key", name=name)
        return key_id, secret

    def remove_key(self, access_key_id: str) -> None:
        self._do("remove_key", access_key_id=access_key_id)

    def push(
        self,
        repository: str,
        *tags: str,
        pushed_at: float | None = None,
        size: int = 50_000_000,
        account: str = ACCOUNT,
        region: str = "us-east-1",
    ) -> None:
        """Put an image into a repository, which is made if need be; without tags, untagged.

        `pushed_at` is in seconds since the epoch, now by default; `size` is in bytes.
        """
        self._do(
            "push",
            repository=repository,
            tags=list(tags),
            pushed_at=time.time() if pushed_at is None else pushed_at,
            size=size,
            account=account,
            region=region,
        )

    def fault(
        self,
        kind: str,
        seconds: float = 30,
        access_key_id: str | None = None,
        times: int | None = None,
    ) -> None:
        """Make ECR fail in one of FAULT_KINDS, `times` requests long, or until cleared.

        For one access key, or for all. The oldest fault that fits a request hits it. Only «hang»
        and «slow» read `seconds`.
        """
        if kind not in FAULT_KINDS:
            raise ValueError(f"unknown fault {kind!r}, one of {sorted(FAULT_KINDS)}")
        self._do("add_fault", kind=kind, seconds=seconds, access_key_id=access_key_id, times=times)

    def clear_faults(self) -> None:
        """Back to normal. Who hangs is let go: its connection closes, unanswered."""
        self._do("clear_faults")

    @property
    def calls(self) -> list[Call]:
        return [Call(**call) for call in self._do("get_calls")]

    def reset_calls(self) -> None:
        self._do("reset_calls")

    @property
    def tokens(self) -> set[str]:
        """Every password issued so far."""
        return set(self._do("get_tokens"))

    @property
    def raw(self) -> bool:
        """True: refusals are moto's own 403 XML, not AWS's JSON."""
        return bool(self._do("get_raw"))

    @raw.setter
    def raw(self, value: bool) -> None:
        self._do("set_raw", value=value)

    @staticmethod
    def policy(
        region: str = "us-east-1",
        account: str = ACCOUNT,
        repository: str = "my-ml-image",
        partition: str = "aws",
    ) -> dict[str, Any]:
        """The guide's `valohai-ecr-policy`, to the letter."""
        read = {
            "Sid": "ReadECRRepository",
            "Effect": "Allow",
            "Action": list(READ_ACTIONS),
            "Resource": f"arn:{partition}:ecr:{region}:{account}:repository/{repository}",
        }
        token = {
            "Sid": "GetECRAuthToken",
            "Effect": "Allow",
            "Action": "ecr:GetAuthorizationToken",
            "Resource": "*",
        }
        return {"Version": "2012-10-17", "Statement": [read, token]}


class _Handler(MotoRequestHandler):
    def log(self, *args: Any, **kwargs: Any) -> None:
        """Tests count calls; a line per request is noise."""

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None:
        self.close_connection = True  # werkzeug would wait for the next request


class FakeAws(AwsControl):
    """An empty fake AWS in this process. One at a time, because moto's state is global."""

    _only_one: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, port: int = 0) -> None:
        self._port = port

    def __enter__(self) -> FakeAws:
        if not self._only_one.acquire(blocking=False):
            raise RuntimeError(
                "a FakeAws is open in this process already: share it, or use RemoteFakeAws"
            )
        BackendDict.reset()
        self._aws = AwsApp()
        try:
            self._server = make_server(
                "127.0.0.1", self._port, self._aws, threaded=True, request_handler=_Handler
            )
        except BaseException:
            self._only_one.release()
            raise
        self._enforced_before = settings.INITIAL_NO_AUTH_ACTION_COUNT
        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0  # IAM judges from the first request on
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        # 0.05: how often, in seconds, it looks whether to stop
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="fake-aws", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.clear_faults()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        settings.INITIAL_NO_AUTH_ACTION_COUNT = self._enforced_before
        self._only_one.release()

    def _do(self, action: str, **arguments: Any) -> Any:
        return getattr(self._aws, action)(**arguments)

    def on_token(self, hook: Callable[[str], object] | None) -> None:
        """Call `hook` with every password issued, e.g. `lambda p: registry.allow("AWS", p)`."""
        self._aws.on_token = hook

    @property
    def roles(self) -> Roles:
        """Roles, identity providers and sessions, which only a test of the same process sets."""
        return self._aws.roles

    def role(self, arn: str, trust: dict[str, Any], policy: dict[str, Any]) -> Role:
        """Make a role, or make it anew."""
        self.roles.roles[arn] = Role(arn, trust, policy)
        return self.roles.roles[arn]

    def may_pull(self, password: str, repository: str) -> bool:
        """Whether a password opens a repository (its ARN)."""
        return self._aws.may_pull(password, repository)


class RemoteFakeAws(AwsControl):
    """The same in a process of its own: for tests with many processes, or that kill some."""

    def __enter__(self) -> RemoteFakeAws:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fake_aws", "--until-stdin-closes"],
            cwd=PROJECT_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError(f"the fake AWS did not start, exit code {self._process.wait()}")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.communicate()  # closes its standard input: it stops

    def _do(self, action: str, **arguments: Any) -> Any:
        request = urllib.request.Request(
            f"{self.url}/_{action}",
            data=json.dumps(arguments).encode(),
            headers={"Content-Type": "application/json"},
        )
        no_proxy = urllib.request.ProxyHandler({})  # loopback, whatever the proxy variables say
        direct = urllib.request.build_opener(no_proxy)
        try:
            with direct.open(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from None


def main() -> None:
    parser = argparse.ArgumentParser(
        description="A fake AWS on loopback: prints its address, then serves."
    )
    parser.add_argument("--port", type=int, default=0, help="0 (default): any free port")
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="stop when whoever started it is gone"
    )
    arguments = parser.parse_args()
    with FakeAws(arguments.port) as aws:
        print(aws.url, flush=True)
        try:
            if arguments.until_stdin_closes:
                sys.stdin.read()
            else:
                threading.Event().wait()
        except KeyboardInterrupt:
            pass
    os._exit(0)  # not waiting for requests that hang on purpose


if __name__ == "__main__":
    main()

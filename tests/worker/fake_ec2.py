"""A fake EC2 instance: its metadata service (IMDSv2 only), and roles that the fake AWS knows."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from tests.support.aws_app import ACCOUNT, POLICY_NAME

ROLES = "/latest/meta-data/iam/security-credentials/"
TOKEN_PATH = "/latest/api/token"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def role_session(
    name: str, policy: dict[str, Any] | None, region: str = "us-east-1", seconds: float = 6 * 3600
) -> dict[str, str]:
    """Make the role if it isn't there, set its policy, and assume it as EC2 does.

    Written into moto's tables, as `AwsApp` does: a FakeAws in this process must be open. Returns
    what the metadata service shows.
    """
    roles = iam_backends[ACCOUNT]["aws"]
    if not any(role.name == name for role in roles.roles.values()):
        roles.create_role(name, json.dumps(TRUST), "/", None, "", [], None)
    if policy is not None:
        roles.put_role_policy(name, POLICY_NAME, json.dumps(policy))
    session = sts_backends[ACCOUNT]["aws"].assume_role(
        region, "i-0123456789abcdef0", f"arn:aws:iam::{ACCOUNT}:role/{name}", "", 3600, ""
    )
    return {
        "Code": "Success",
        "Type": "AWS-HMAC",
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret_access_key,
        "Token": session.session_token,
        "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds)),
    }


class FakeEc2:
    """`url` is for AWS_EC2_METADATA_SERVICE_ENDPOINT.

    `roles` maps what is attached to what is shown for it; `token_status` and `hop_limit` are how
    the token is refused.
    """

    def __init__(self) -> None:
        self.roles: dict[str, Any] = {}
        self.token_status = 200
        self.hop_limit = 2
        self.asked: list[str] = []
        self._token = "metadata-token=="
        self._stopping = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                outer.asked.append(f"PUT {self.path}")
                if outer.hop_limit < 2:
                    outer._stopping.wait(10)  # the answer never makes the second hop
                    return
                good = self.path == TOKEN_PATH and self.headers.get(
                    "X-aws-ec2-metadata-token-ttl-seconds", ""
                )
                self.answer(outer.token_status if good else 400, outer._token)

            def do_GET(self) -> None:
                outer.asked.append(f"GET {self.path}")
                if self.headers.get("X-aws-ec2-metadata-token") != outer._token:
                    self.answer(401, "")
                elif self.path == ROLES and outer.roles:
                    self.answer(200, "\n".join(outer.roles))
                elif self.path.removeprefix(ROLES) in outer.roles:
                    shown = outer.roles[self.path.removeprefix(ROLES)]
                    self.answer(200, shown if isinstance(shown, str) else json.dumps(shown))
                else:
                    self.answer(404, "<html>404 - Not Found</html>")

            def answer(self, status: int, text: str) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args: Any) -> None:
                """`asked` is the log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()

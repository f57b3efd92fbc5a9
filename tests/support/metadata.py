"""An EC2 instance's metadata on loopback, IMDSv2 only, with one role's session in it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.aws_roles_app import Session

_WHERE = "/latest/meta-data/iam/security-credentials/"


@contextmanager
def metadata(session: Session) -> Iterator[str]:
    """Where it answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self._say(200 if self.path == "/latest/api/token" else 404, "token")

        def do_GET(self) -> None:
            if self.headers.get("X-aws-ec2-metadata-token") != "token":
                return self._say(401, "")
            if self.path == _WHERE:
                return self._say(200, "server")
            if self.path != f"{_WHERE}server":
                return self._say(404, "")
            ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(session.ends))
            given = {"Code": "Success", "Type": "AWS-HMAC", "Expiration": ends}
            given |= {"AccessKeyId": session.key_id, "SecretAccessKey": session.secret}
            return self._say(200, json.dumps(given | {"Token": session.token}))

        def _say(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args: Any) -> None:
            """Nothing that a test looks at."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()

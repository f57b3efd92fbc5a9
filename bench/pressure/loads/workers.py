"""What one worker token can send."""

from __future__ import annotations

import http.client
import itertools
import json
import time
from urllib.parse import urlsplit

from ..people import together
from ..scene import HOST, Scene


def flapping(scene: Scene, seconds: float) -> dict[str, object]:
    """Outcome reports of one role entry, in turn good and bad, four at once. The harness
    counts the mails that come of it."""
    netloc = urlsplit(scene.address).netloc
    codes = itertools.cycle(["role_not_attached", "ok"])
    headers = {"Authorization": f"Token {scene.theirs.token}", "Content-Type": "application/json"}

    def one(_: int) -> str:
        report = {
            "entry": scene.role_entry,
            "project": scene.theirs.project,
            "image": f"{HOST}/role-of-workers/x:v1",
            "code": next(codes),
        }
        connection = http.client.HTTPConnection(netloc, timeout=30)
        try:
            body = json.dumps(report)
            connection.request("POST", "/api/v0/docker-login/outcome/", body, headers)
            return str(connection.getresponse().status)
        finally:
            connection.close()

    return {"answers": together(4, time.monotonic() + seconds, one)}

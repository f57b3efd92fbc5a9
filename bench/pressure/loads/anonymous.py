"""What people can send who aren't signed in."""

from __future__ import annotations

import http.client
import itertools
import time
from urllib.parse import urlsplit

from ..people import SIGN_IN, Stranger, together
from ..scene import Scene


def sign_ins(scene: Scene, seconds: float) -> dict[str, object]:
    """200 sign-ins at once, over and over, for accounts that there aren't."""
    stranger = Stranger(scene.address)
    until = time.monotonic() + seconds
    return {
        "answers": together(
            200, until, lambda n: stranger.sign_in(f"nobody-{n}@example.com", "wrong-password")
        )
    }


def passwords(scene: Scene, seconds: float) -> dict[str, object]:
    """1,000 wrong passwords from 50 addresses: half for one account, half for many; then
    the rest of the time, nothing. The harness counts the hashes that were made."""
    stranger = Stranger(scene.address)
    numbers = iter(range(1000))
    until = time.monotonic() + seconds

    def one(_: int) -> str:
        number = next(numbers, None)
        if number is None:
            time.sleep(0.5)
            return "done"
        many = f"person-{number}@example.com"
        account = scene.theirs.admin if number % 2 else many
        source = f"198.51.100.{number % 50}"
        return stranger.sign_in(account, f"wrong-{number}", source)

    told = together(20, until, one)
    told.pop("done", None)
    return {"answers": told, "sent": sum(told.values())}


def uploads(scene: Scene, seconds: float) -> dict[str, object]:
    """60 posts of 10 MB at once, three rounds at most, to the sign-in form."""
    netloc = urlsplit(scene.address).netloc
    boundary = "x" * 20
    part = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    body = part.encode() + b"a,b\n" * 2_500_000 + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    rounds = itertools.count()
    until = time.monotonic() + seconds

    def one(_: int) -> str:
        if next(rounds) >= 180:
            time.sleep(0.5)
            return "done"
        connection = http.client.HTTPConnection(netloc, timeout=60)
        try:
            connection.request("POST", SIGN_IN, body, headers)
            return str(connection.getresponse().status)
        finally:
            connection.close()

    told = together(60, until, one)
    told.pop("done", None)
    return {"answers": told}

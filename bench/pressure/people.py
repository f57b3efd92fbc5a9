"""A browser's part: sign in, carry the cookies, send forms with their CSRF token."""

from __future__ import annotations

import http.client
import re
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests

from .scene import PASSWORD

SIGN_IN = "/accounts/login/"
_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


class Person:
    """Signed in at an address, as `email`."""

    def __init__(self, address: str, email: str) -> None:
        self.address = address
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy on the way to loopback
        answer = self.post(SIGN_IN, {"username": email, "password": PASSWORD})
        if "sessionid" not in self.session.cookies:
            raise RuntimeError(f"{email} can't sign in: {answer.status_code}")

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.session.get(self.address + path, timeout=60, **more)

    def post(
        self, path: str, fields: Any, *, page: str = "", files: Any = None, **more: Any
    ) -> requests.Response:
        """Send the form of `page` (or of the address itself), its CSRF token fetched."""
        if "csrftoken" not in self.session.cookies:
            self.get(page or path if page or path == SIGN_IN else "/")
        token = self.session.cookies.get("csrftoken", "")
        headers = {"X-CSRFToken": token, "Referer": self.address + path}
        return self.session.post(
            self.address + path, data=fields, files=files, headers=headers, timeout=60, **more
        )


class Stranger:
    """Nobody yet: the sign-in form, sent as often as one likes with one CSRF token."""

    def __init__(self, address: str) -> None:
        self.netloc = urlsplit(address).netloc
        page = requests.get(address + SIGN_IN, timeout=60, proxies={"http": ""})
        found = _TOKEN.search(page.text)
        self.token = found[1] if found else ""
        self.cookie = f"csrftoken={page.cookies.get('csrftoken', '')}"

    def sign_in(self, email: str, password: str, source: str = "") -> str:
        """Its status, or the name of what went wrong. `source` as a proxy would name it."""
        fields = {"csrfmiddlewaretoken": self.token, "username": email, "password": password}
        headers = {"Cookie": self.cookie, "Content-Type": "application/x-www-form-urlencoded"}
        if source:
            headers["X-Forwarded-For"] = source
        connection = http.client.HTTPConnection(self.netloc, timeout=30)
        try:
            connection.request("POST", SIGN_IN, urlencode(fields), headers)
            response = connection.getresponse()
            response.read()
            return str(response.status)
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        finally:
            connection.close()


def together(count: int, until: float, work: Any) -> dict[str, int]:
    """Call `work(number)` over and over in `count` threads until then (monotonic); how
    often each answer came."""
    import threading
    import time
    from collections import Counter

    told: Counter[str] = Counter()
    lock = threading.Lock()

    def one(number: int) -> None:
        while time.monotonic() < until:
            try:
                answer = str(work(number))
            except Exception as error:
                answer = type(error).__name__
            with lock:
                told[answer] += 1

    threads = [threading.Thread(target=one, args=[n], daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()) + 5)
    with lock:
        return dict(told)

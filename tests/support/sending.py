"""A request as it is given, where a client library would mend or refuse it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable
from http.client import HTTPMessage
from typing import Any
from urllib.parse import urlsplit


def send(
    address: str, method: str, path: str, body: bytes | Iterable[bytes] = b"", **headers: str
) -> tuple[int, HTTPMessage, Any]:
    """(status, headers, document) over a connection of its own."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.headers, json.loads(response.read())
    finally:
        connection.close()

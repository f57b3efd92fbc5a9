"""Through a real gunicorn: what Django's test client can't send."""

from __future__ import annotations

import pytest

from tests.support import product
from tests.support.sending import send

from .conftest import LOGIN

pytestmark = pytest.mark.django_db(transaction=True)


def test_bodies_that_only_a_real_server_sees(issue) -> None:
    token = {"Authorization": f"Token {issue()}"}
    chunked = iter([b"{", b"}"])  # no length is no body
    with product.served() as served:
        for body, status, code in [
            (chunked, 400, "invalid_request"),
            (b" " * 1_000_000, 413, "too_large"),
        ]:
            found, _, told = send(served, "POST", LOGIN, body, **token)
            assert (found, told["code"]) == (status, code)

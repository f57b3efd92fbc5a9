"""The event's insert really failing: no login leaves, and AWS isn't asked again after."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import DatabaseError, connection

from orgs.models import AuditEvent
from orgs.registries.images import ImageReference
from orgs.registries.problems import Failed
from orgs.services.audit.events import Actor
from orgs.services.logins import issuing
from tests.conftest import HOST

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ask(aws, make_entry, project):
    key_id, secret = aws.create_user("valohai", aws.policy())
    make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})
    image = ImageReference.parse(f"{HOST}/my-ml-image:v1.0")
    return lambda: issuing.login_for(project=project, image=image, actor=Actor("tests"))


def run(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def constraint() -> Iterator[None]:
    """A rule of the database that no event keeps."""
    if connection.vendor == "postgresql":
        run("ALTER TABLE orgs_auditevent ADD CONSTRAINT never CHECK (false) NOT VALID")
        try:
            yield
        finally:
            run("ALTER TABLE orgs_auditevent DROP CONSTRAINT never")
    else:
        run(
            "CREATE TRIGGER never BEFORE INSERT ON orgs_auditevent "
            "BEGIN SELECT RAISE(ABORT, 'never'); END"
        )
        try:
            yield
        finally:
            run("DROP TRIGGER never")


@contextmanager
def read_only() -> Iterator[None]:
    if connection.vendor == "postgresql":
        run("SET default_transaction_read_only = on")
        try:
            yield
        finally:
            run("SET default_transaction_read_only = off")
    else:
        run("PRAGMA query_only = on")
        try:
            yield
        finally:
            run("PRAGMA query_only = off")


@contextmanager
def disk_full() -> Iterator[None]:
    if connection.vendor == "postgresql":
        pytest.skip("PostgreSQL's disk can't be filled from a session; SQLite shows it")
    run("VACUUM")  # what earlier tests freed would be room enough
    with connection.cursor() as cursor:
        (before,) = cursor.execute("PRAGMA max_page_count").fetchone()
        (pages,) = cursor.execute("PRAGMA page_count").fetchone()
        cursor.execute(f"PRAGMA max_page_count = {pages}")
    for length in (600, 60, 1):  # what is left of the last pages, filled up
        try:
            for _ in range(10_000):
                AuditEvent(actor="filler", action="filler", subject="x" * length).save()
        except DatabaseError as full:
            assert "full" in str(full)
    try:
        yield
    finally:
        run(f"PRAGMA max_page_count = {before}")


@pytest.mark.parametrize("fault", [constraint, read_only, disk_full], ids=lambda f: f.__name__)
@pytest.mark.parametrize("cached", [True, False], ids=["cached", "cold"])
def test_no_event_no_login(aws, ask, fault, cached):
    if cached:
        ask()
    given = AuditEvent.objects.filter(action="login.issued").count()
    with fault():
        with pytest.raises(Failed) as refused:
            ask()
        assert refused.value.code == "audit_unavailable"
        assert refused.value.retry_after
        assert AuditEvent.objects.filter(action="login.issued").count() == given
    assert ask().login.password in aws.tokens
    assert len(aws.calls) == 1

"""What stands for all tests of a module, made once: each of its tests begins from it and is
undone to it, as `django_db` does, whose savepoint it's in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction


@contextmanager
def made_once(blocker: Any, make: Callable[[], Any]) -> Iterator[Any]:
    """What `make` gives, in a transaction that is undone at the end. `blocker` is
    pytest-django's; for module-scoped fixtures that come after `django_db_setup`."""
    with blocker.unblock(), transaction.atomic():
        yield make()
        transaction.set_rollback(True)

from __future__ import annotations

import pytest

from orgs.models import Organization, User
from orgs.services.audit.events import COMMAND_LINE
from orgs.services.demo import organization as demo


@pytest.fixture
def made(staff: User) -> Organization:
    """The demo organization, with Stella as its admin."""
    demo.demo_create(admin=staff, actor=COMMAND_LINE)
    return Organization.objects.get(made_up=True)

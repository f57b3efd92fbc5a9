"""Makes `people.json` with the code of the version before django-allauth (fa4d070):

    PYTHONPATH=. DJANGO_SETTINGS_MODULE=tests.settings python .../build_people.py people.json

Run in a checkout of that version. The file has the rows as `dumpdata` gives them, and what
its people hold: a session's key, links, an API token.
"""

from __future__ import annotations

import json
import sys
from io import StringIO
from pathlib import Path

SECRET_KEY = "what signed the links of the former version, and nothing else"
PASSWORD = "correct horse battery"
TABLES = ("orgs.user", "orgs.organization", "orgs.membership", "orgs.invitation",
          "orgs.apitoken", "sessions.session")  # fmt: skip


def main(file: Path) -> None:
    import django
    from django.conf import settings

    settings.SECRET_KEY = SECRET_KEY
    settings.PASSWORD_HASHERS = ["orgs.services.tenancy.passwords.Scrypt"]
    django.setup()
    from django.core import management
    from django.test import Client

    from orgs.models import User
    from orgs.services.audit.events import Actor
    from orgs.services.tenancy import invitations, organizations, people, tokens

    management.call_command("migrate", verbosity=0)
    made = {}
    for name in ("alice", "bob", "carol"):
        made[name] = User.objects.create_user(f"{name}@example.com", PASSWORD, name=name.title())
    acme = organizations.organization_create(
        name="Former", slug="former", admin=made["alice"], actor=Actor("former")
    )
    organizations.member_add(
        organization=acme, user=made["bob"], role="member", actor=Actor("former")
    )
    User.objects.filter(pk=made["carol"].pk).update(proven=False)
    actor = Actor("alice@example.com", made["alice"])
    invited = invitations.invite(
        organization=acme, emails=["carol@example.com", "dan@example.com"], role="member",
        actor=actor,
    )  # fmt: skip
    browser = Client()
    typed = {"username": "alice@example.com", "password": PASSWORD}
    browser.post("/accounts/login/", typed, HTTP_HOST="localhost")
    _, api_token = tokens.token_issue_api(user=made["alice"], name="script", actor=actor)
    held = {
        "session": browser.cookies["sessionid"].value,
        "password_link": people.person_link(person=made["bob"], actor=Actor("staff")),
        "invitations": {one.email: invitations.link(one) for one in invited},
        "api_token": api_token,
    }
    rows = StringIO()
    management.call_command("dumpdata", *TABLES, stdout=rows)
    file.write_text(json.dumps({"held": held, "rows": json.loads(rows.getvalue())}, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

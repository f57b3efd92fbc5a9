"""first_start: what `make run` makes once, so that a newcomer can sign in."""

import os
import secrets
import socket
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.urls import reverse

from orgs.management.alone import alone
from orgs.management.base import Command as Base
from orgs.models import User
from orgs.services.audit.events import COMMAND_LINE
from orgs.services.tenancy import organizations, projects


class Command(Base):
    help = "Make organization Acme, its project and a superuser, where there is nobody yet."

    def handle(self, *args: Any, **options: Any) -> None:
        self.require_port(int(os.environ.get("PORT", "8000")))
        with alone(connection), transaction.atomic():
            if User.objects.exists():
                return
            email = os.environ.get("ADMIN_EMAIL", "").strip() or "admin@example.com"
            password = os.environ.get("ADMIN_PASSWORD", "") or secrets.token_urlsafe(12)
            admin = User.objects.create_superuser(email, password, name="Admin")
            acme = organizations.organization_create(
                name="Acme", slug="acme", admin=admin, actor=COMMAND_LINE
            )
            project = projects.project_create(
                name="first-project", organization=acme, actor=COMMAND_LINE
            )
        self.stdout.write()
        for label, value in (
            ("Sign in", settings.BASE_URL + reverse("account_login")),
            ("E-mail", admin.email),
            ("Password", password),
            ("Project id", project.pk),
        ):
            self.stdout.write(f"{label + ':':<12}{value}")
        self.stdout.write("This is printed once. Ctrl-C stops the server.")
        self.stdout.write(
            "Something to look around in, in another terminal: "
            "`.venv/bin/python manage.py demo_data`"
        )

    def require_port(self, port: int) -> None:
        """Refuse before the password is printed, once, for a server that can't start."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                self.fail(f"Port {port} is taken. Choose another: PORT={port + 1} make run")

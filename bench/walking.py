"""People's ways through the product, counted: in a real browser, beside a fake AWS."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cryptography.fernet import Fernet
from playwright.sync_api import Locator, Page

PASSWORD = "correct horse battery"
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


@dataclass
class Walk:
    """What it took to do something, told as it is done."""

    name: str
    page: Page
    clicks: int = 0
    typed: list[str] = field(default_factory=list)
    pasted: int = 0
    began: float = field(default_factory=time.perf_counter)

    def click(self, where: Locator) -> None:
        self.clicks += 1
        where.click()

    def type(self, label: str, text: str) -> None:
        self.typed.append(label)
        self.page.get_by_label(label, exact=True).first.fill(text)

    def sign_in(self, address: str, email: str) -> None:
        self.page.goto(f"{address}/accounts/login/")
        self.type("E-mail", email)
        self.type("Password", PASSWORD)
        self.click(self.page.get_by_role("button", name="Sign in"))

    def tell(self) -> None:
        took = time.perf_counter() - self.began
        pastes = f", {self.pasted} pasted" if self.pasted else ""
        print(f"{self.name}: {self.clicks} clicks, {len(self.typed)} fields typed "
              f"({', '.join(self.typed)}){pastes}, {took:.1f} s")  # fmt: skip


@contextmanager
def product(*, postgresql: bool = False) -> Iterator[Any]:
    """An empty product in this process, on a database of its own; gives its fake AWS."""
    import django
    from django.core.management import call_command

    from tests.support.fake_aws import RemoteFakeAws
    from tests.support.postgres import start_postgres, stop

    with tempfile.TemporaryDirectory(prefix="walk-") as directory, RemoteFakeAws() as aws:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        database = start_postgres() if postgresql else f"sqlite:///{directory}/db.sqlite3"
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "valohai_registries.settings",
            "DATABASE_URL": database,
            "SECRET_KEY": Fernet.generate_key().decode(),
            "FERNET_KEYS": Fernet.generate_key().decode(),
            "AWS_ENDPOINT_URL": aws.url,
            "EMAIL_URL": "dummymail://",
        }
        try:
            django.setup()
            call_command("migrate", verbosity=0)
            call_command("collectstatic", verbosity=0, interactive=False)
            yield aws
        finally:
            if postgresql:
                stop(database)


@contextmanager
def browser() -> Iterator[Callable[[], Page]]:
    """Opens pages, each in a context of its own."""
    from playwright.sync_api import sync_playwright

    from pictures.taking import ARGUMENTS, CHROMIUM

    # Playwright's own loop runs in this thread, and Django would refuse the database.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield lambda: chromium.new_context().new_page()
        chromium.close()


def wrong(secret: str) -> str:
    """Another secret of the same shape."""
    return secret[:-4] + ("AAAA" if not secret.endswith("AAAA") else "BBBB")

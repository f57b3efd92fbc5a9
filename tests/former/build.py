"""Makes `database.json` with the code of the former version (bdbeae8):

    PYTHONPATH=<checkout of bdbeae8>:. DJANGO_SETTINGS_MODULE=tests.settings \
        python tests/former/build.py <this directory>

Run in that checkout; `cases.py` is read from the directory that is given.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

TABLES = ("organization", "registryentry", "indexedpattern")


def main(directory: Path) -> None:
    found = importlib.util.spec_from_file_location("cases", directory / "cases.py")
    assert found and found.loader
    cases = importlib.util.module_from_spec(found)
    sys.modules["cases"] = cases
    found.loader.exec_module(cases)
    os.environ["FERNET_KEYS"] = cases.KEY
    import django

    django.setup()
    from django.core import management

    management.call_command("migrate", verbosity=0)
    _write(cases.CASES)
    with (directory / "database.json").open("w") as file:
        management.call_command("dumpdata", *[f"orgs.{t}" for t in TABLES], indent=1, stdout=file)
    rows = json.loads((directory / "database.json").read_text())
    print(len(rows), "rows")


def _write(cases: dict) -> None:
    from orgs.models import Organization
    from orgs.services.audit.events import Actor
    from orgs.services.entries import door
    from orgs.services.entries.validating import EntrySpec

    organization = Organization.objects.create(name="Former", slug="former")
    for name, case in cases.items():
        spec = EntrySpec(case.type, [case.pattern], case.config, case.secrets, note=name)
        door.entry_create(organization=organization, actor=Actor("former"), spec=spec)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

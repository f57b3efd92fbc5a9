"""`python -m bench.audit_log [EVENTS]`: the audit log at size, on PostgreSQL.

Times and plans of the page's first screen, each filter, the export's first byte
and the pruning of half. Run by hand: ten million events take minutes and about 6 GB.
"""

from __future__ import annotations

import os
import sys
import time

from cryptography.fernet import Fernet

FILL = """
INSERT INTO orgs_auditevent (at, actor, staff, action, organization_id, organization, project,
    subject_id, subject, code, properties, source_address)
SELECT now() - random() * interval '360 days',
    'worker ' || (n %% 200), false,
    CASE WHEN n %% 50 = 0 THEN 'login.refused' WHEN n %% 9999 = 0 THEN 'entry.updated'
        ELSE 'login.issued' END,
    %s, 'Acme', 'project-' || (n %% 40),
    CASE WHEN n %% 300 = 7 THEN %s ELSE 'entry-' || (n %% 300) END,
    '123456789012.dkr.ecr.us-east-1.amazonaws.com/team-' || (n %% 300) || ':v' || (n %% 7),
    CASE WHEN n %% 50 = 0 THEN 'no_match' ELSE 'ok' END, '{}',
    ('10.0.' || (n %% 250) || '.' || (n %% 199))::inet
FROM generate_series(1, %s) n
"""


def main(count: int) -> None:
    from tests.support.postgres import start_postgres, stop

    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "valohai_registries.settings",
        "DATABASE_URL": start_postgres(),
        "SECRET_KEY": Fernet.generate_key().decode(),
        "FERNET_KEYS": Fernet.generate_key().decode(),
    }
    import django
    from django.core.management import call_command
    from django.db import connection

    django.setup()
    call_command("migrate", verbosity=0)

    from orgs.models import AuditEvent, Organization, RegistryEntry
    from orgs.services.audit import log
    from orgs.services.audit.log import Filters
    from orgs.services.entries import usage

    acme = Organization.objects.create(name="Acme", slug="acme")
    entry = RegistryEntry.objects.create(organization=acme, registry_type="aws-ecr")
    began = time.perf_counter()
    # Indexes after the rows: kept in step with each row, filling took ten times as long.
    indexes = AuditEvent._meta.indexes
    with connection.schema_editor() as editor:
        for index in indexes:
            editor.remove_index(AuditEvent, index)
    with connection.cursor() as cursor:
        cursor.execute(FILL, [acme.pk, str(entry.pk), count])
    with connection.schema_editor() as editor:
        for index in indexes:
            editor.add_index(AuditEvent, index)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE orgs_auditevent")
    print(f"{count:,} events written in {time.perf_counter() - began:.0f} s")
    for name, filters in {
        "first screen": Filters(),
        "actor": Filters(actor="worker 7"),
        "action, frequent": Filters(action="login.issued"),
        "action, rare": Filters(action="entry.updated"),
        "result": Filters(result="no_match"),
        "project": Filters(project="project-3"),
        "source": Filters(source="10.0.7.7"),
        "subject, frequent": Filters(subject="123456789012.dkr"),
        "subject, absent": Filters(subject="ghcr.io/"),
        "since and until": Filters(since="2026-06-01", until="2026-06-02"),
    }.items():
        events = log.events_of(acme, filters)
        began = time.perf_counter()
        log.page_of(events)
        took = time.perf_counter() - began
        plan = events[:51].explain()
        scan = next(line.strip(" ->") for line in plan.splitlines() if "Scan" in line)
        print(f"{name:<20}{took * 1000:>9.1f} ms   {scan.split('  ')[0]}")
    page = log.page_of(log.events_of(acme, Filters()))
    middle = f"2026-05-01T00:00:00+00:00_{count // 2}"
    began = time.perf_counter()
    log.page_of(log.events_of(acme, Filters()), middle)
    print(f"{'a screen far back':<20}{(time.perf_counter() - began) * 1000:>9.1f} ms")
    assert page.older
    began = time.perf_counter()
    usage.usage_of(entry, private=True)
    print(f"{'usage of an entry':<20}{(time.perf_counter() - began) * 1000:>9.1f} ms")
    lines = log.export(log.events_of(acme, Filters()))
    began = time.perf_counter()
    next(lines)
    next(lines)
    print(f"{'export, first row':<20}{(time.perf_counter() - began) * 1000:>9.1f} ms")
    lines.close()
    began = time.perf_counter()
    gone = log.prune()
    took = time.perf_counter() - began
    print(f"pruned {gone:,} in {took:.0f} s ({gone / took:,.0f} a second)")
    stop()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)

"""`python -m bench.peer_import FILE`: the same file by django-import-export, as its own
documentation has it for large ones; for `bench.import_rows`."""

from __future__ import annotations

import sys
from pathlib import Path


def main(path: str) -> None:
    import django
    from django.conf import settings

    settings.INSTALLED_APPS += ["import_export"]
    django.setup()
    import tablib
    from import_export import fields, resources

    from orgs.models import Organization, RegistryEntry

    organization = Organization.objects.order_by("pk").first()

    class Entries(resources.ModelResource):
        registry_type = fields.Field("type", "registry_type")
        config = fields.Field("config", "config")
        note = fields.Field("note", "note")

        class Meta:
            model = RegistryEntry
            fields = ("registry_type", "config", "note")
            import_id_fields: tuple[str, ...] = ()
            use_bulk = True
            batch_size = 500
            skip_diff = True
            force_init_instance = True

        def before_import_row(self, row, **rest):
            row["config"] = {"access_key_id": row["access_key_id"]}

        def before_save_instance(self, instance, row, **rest):
            instance.organization = organization

    rows = tablib.Dataset().load(Path(path).read_text(), format="csv")
    result = Entries().import_data(rows, raise_errors=True)
    print(result.totals)


if __name__ == "__main__":
    main(sys.argv[1])

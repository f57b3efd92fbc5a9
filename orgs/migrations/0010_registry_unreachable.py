from django.db import migrations, models

# What passes by itself, as the table of codes has it at this migration.
PASSING = {"registry_unreachable", "issuer_unreachable", "throttled", "clock_skew", "busy"}


def judge_anew(apps, schema_editor):
    """«Verified» is said only where the last check had no ✕: those where it had one, and was
    let pass, are what it found."""
    Verification = apps.get_model("orgs", "Verification")
    Entry = apps.get_model("orgs", "RegistryEntry")
    checked = Verification.objects.exclude(at=None).filter(entry__status="verified")
    for entry, steps in checked.values_list("entry_id", "steps").iterator():
        told = [step for step in steps or [] if isinstance(step, dict)]
        failed = next((step for step in told if step.get("result") == "failed"), None)
        if failed is None:
            continue
        code = str(failed.get("code", ""))[:40]
        unreachable = failed.get("name") == "registry" and code in PASSING
        sentences = f"{failed.get('what', '')} {failed.get('fix', '')}".strip()
        Entry.objects.filter(pk=entry, status="verified").update(
            status="unreachable" if unreachable else "unverified",
            status_code=code,
            status_detail=sentences[:1000],
        )


class Migration(migrations.Migration):
    dependencies = [
        ("orgs", "0009_indexed_pattern"),
    ]

    operations = [
        migrations.AlterField(
            model_name="registryentry",
            name="status",
            field=models.CharField(
                choices=[
                    ("unverified", "Not verified"),
                    ("verified", "Verified"),
                    ("failing", "Failing"),
                    ("unreachable", "Registry unreachable"),
                    ("unreadable", "Secret unreadable"),
                ],
                default="unverified",
                max_length=12,
            ),
        ),
        migrations.RunPython(judge_anew, migrations.RunPython.noop),
    ]

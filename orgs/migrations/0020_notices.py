import uuid

import django.db.models.deletion
from django.db import migrations, models

import orgs.sealed


class Migration(migrations.Migration):
    dependencies = [
        ("orgs", "0019_runs"),
    ]

    operations = [
        migrations.AddField(
            model_name="membership",
            name="notices_by_mail",
            field=models.BooleanField(db_default=True, default=True, editable=False),
        ),
        migrations.CreateModel(
            name="NoticeAddress",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("webhook", "Webhook"), ("slack", "Slack-compatible")],
                        max_length=10,
                    ),
                ),
                ("address", orgs.sealed.SealedField()),
                ("secret", orgs.sealed.SealedField(null=True)),
                ("host", models.CharField(max_length=260)),
                ("ending", models.CharField(blank=True, max_length=4)),
                ("set_at", models.DateTimeField()),
                ("secret_generation", models.PositiveIntegerField(default=0)),
                ("delivered_at", models.DateTimeField(null=True)),
                ("failed_at", models.DateTimeField(null=True)),
                ("failure", models.CharField(blank=True, max_length=300)),
                (
                    "organization",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="notice_address",
                        to="orgs.organization",
                    ),
                ),
            ],
        ),
    ]

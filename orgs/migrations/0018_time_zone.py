from django.db import migrations, models

import orgs.zones


class Migration(migrations.Migration):
    dependencies = [("orgs", "0017_made_up")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="time_zone",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                max_length=64,
                validators=[orgs.zones.known],
            ),
        ),
    ]

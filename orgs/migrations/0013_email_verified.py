from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("orgs", "0012_people")]

    operations = [
        migrations.RenameField("user", "proven", "email_verified"),
    ]

"""The table's model gets a name of its own; `MatchPattern` is the pure one. No row changes."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("orgs", "0008_database_clock")]

    operations = [
        migrations.AlterModelTable("matchpattern", "orgs_matchpattern"),
        migrations.RenameModel("MatchPattern", "IndexedPattern"),
    ]

"""PostgreSQL refuses to change audit events, and to delete them but for pruning.

SQLite has no roles or session settings to hang this on; there the ORM refuses.
"""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION orgs_audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('orgs.pruning', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit events are append-only';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON orgs_auditevent
    FOR EACH ROW EXECUTE FUNCTION orgs_audit_append_only();
"""
BACKWARDS = """
DROP TRIGGER audit_append_only ON orgs_auditevent;
DROP FUNCTION orgs_audit_append_only();
"""


def _on_postgresql(statements):
    def run(apps, schema_editor):
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(statements)

    return run


class Migration(migrations.Migration):
    dependencies = [("orgs", "0001_initial")]
    operations = [migrations.RunPython(_on_postgresql(FORWARDS), _on_postgresql(BACKWARDS))]

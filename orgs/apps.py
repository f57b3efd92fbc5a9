from typing import Any

from django.apps import AppConfig


def _support(**given: Any) -> None:
    """Only where there is migrating: it needs what no start does."""
    from .services.tenancy.powers import support_make

    support_make(**given)


class OrgsConfig(AppConfig):
    name = "orgs"
    verbose_name = "Organizations and registries"

    def ready(self) -> None:
        from allauth.account.signals import user_logged_in
        from allauth.usersessions.signals import on_user_logged_in
        from django.conf import settings
        from django.db.backends.signals import connection_created
        from django.db.models.signals import post_migrate

        from . import checks, company, issuer_name  # noqa: F401  (register the system checks)
        from .outside import watch
        from .registries import trust

        trust.also(lambda: settings.OUTBOUND_CA_FILE)
        connection_created.connect(watch, dispatch_uid="orgs.outside")
        # It asks for each session by itself, at each sign-in; services.tenancy.sessions doesn't.
        user_logged_in.disconnect(on_user_logged_in)
        # After Django's own, which makes the permissions.
        post_migrate.connect(_support, sender=self, dispatch_uid="orgs.support")

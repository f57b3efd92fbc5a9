from django.apps import AppConfig


class OrgsConfig(AppConfig):
    name = "orgs"
    verbose_name = "Organizations and registries"

    def ready(self) -> None:
        from . import checks  # noqa: F401  (registers the system checks)

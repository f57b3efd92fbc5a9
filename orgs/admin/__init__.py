"""The Django admin: where staff look after all organizations.

Each module registers its models; every write goes through a service, as on the web.
"""

from django.contrib import admin

from . import audit, entries, groups, organizations, people
from .sign_in import sign_in, to_account

__all__ = ["audit", "entries", "groups", "organizations", "people"]

admin.site.site_header = admin.site.site_title = "Valohai Registries"
admin.site.index_title = "Staff"
# One sign-in for the whole product: what guards it there (second factors, limits)
# guards the admin as well.
admin.site.login = sign_in  # type: ignore[method-assign]
# Sessions' keys and second steps are nobody's but their person's; the rest isn't used.
for model in list(admin.site._registry):
    if model.__module__.startswith("allauth."):
        admin.site.unregister(model)
# One's own password is changed where everyone's is: counted, told, and with what it ends.
admin.site.password_change = to_account  # type: ignore[method-assign, assignment]
admin.site.password_change_done = to_account  # type: ignore[method-assign, assignment]
# Lists need the width; the breadcrumbs lead everywhere.
admin.site.enable_nav_sidebar = False
# It would delete without telling; entries have their own.
admin.site.disable_action("delete_selected")

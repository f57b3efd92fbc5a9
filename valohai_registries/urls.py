"""Every address of the product (CONTRACT «Web»)."""

from django.contrib import admin
from django.urls import include, path

_addresses, _app, _space = admin.site.urls
# What Django leads on from there by a row's number: nothing of ours has such an address.
_admin = [one for one in _addresses if getattr(one, "name", "") != "view_on_site"]
urlpatterns = [
    path("admin/", (_admin, _app, _space)),
    path("api/v0/", include("orgs.api.urls")),
    path("", include("orgs.web.urls")),
]

handler403 = "orgs.web.views.forbidden"
handler500 = "orgs.web.views.crashed"

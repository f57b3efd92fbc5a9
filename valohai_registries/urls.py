"""Every address of the product (CONTRACT «Web»)."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v0/", include("orgs.api.urls")),
    path("", include("orgs.web.urls")),
]

handler403 = "orgs.web.views.forbidden"
handler500 = "orgs.web.views.crashed"

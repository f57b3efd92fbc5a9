"""Web pages and their names."""

from django.contrib.auth import views as auth
from django.urls import URLPattern, URLResolver, include, path

from . import account, registries, views

_entry: list[URLPattern | URLResolver] = [
    path("", registries.entry, name="entry"),
    path("edit/", registries.edit, name="entry_edit"),
    path("delete/", registries.delete, name="entry_delete"),
    path("enable/", registries.enable, name="entry_enable"),
    path("disable/", registries.disable, name="entry_disable"),
]
_registries: list[URLPattern | URLResolver] = [
    path("", registries.index, name="registries"),
    path("new/", registries.new, name="entry_new"),
    path("<uuid:entry_id>/", include(_entry)),
]
urlpatterns = [
    path("", views.home, name="home"),
    path("healthz", views.healthz, name="healthz"),
    path("accounts/login/", account.SignIn.as_view(), name="login"),
    path("accounts/logout/", auth.LogoutView.as_view(), name="logout"),
    path(
        "accounts/password/<uidb64>/<token>/",
        account.SetPassword.as_view(),
        name="set_password",
    ),
    path("organizations/<slug:slug>/", views.organization, name="organization"),
    path("organizations/<slug:slug>/registries/", include(_registries)),
]

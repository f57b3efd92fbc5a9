"""Web pages and their names."""

from django.contrib.auth import views as auth
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from orgs.services.identity import documents

from . import api_reference, guide, identity, probes, staff, views
from .accounts import account, forgotten, invitations, passkeys, second_steps, sign_in, sso, tokens
from .organizations import (
    audit,
    environments,
    members,
    notices,
    overview,
    projects,
    settings,
    workers,
)
from .organizations.identity import identity as organization_identity
from .registries import (
    check,
    editing,
    entry,
    help,
    images,
    importing,
    listing,
    runs,
    selected,
    switching,
)

_entry: list[URLPattern | URLResolver] = [
    path("", entry.entry, name="entry"),
    path("verify/", entry.verify, name="entry_verify"),
    path("images/", images.images, name="entry_images"),
    path("edit/", editing.edit, name="entry_edit"),
    path("delete/", editing.delete, name="entry_delete"),
    path("enable/", switching.enable, name="entry_enable"),
    path("disable/", switching.disable, name="entry_disable"),
]
_import: list[URLPattern | URLResolver] = [
    path("", importing.upload, name="import"),
    path("template.csv", importing.template, name="import_template"),
    path("<uuid:draft_id>/", importing.preview, name="import_preview"),
    path("<uuid:draft_id>/errors.csv", importing.errors, name="import_errors"),
]
_runs: list[URLPattern | URLResolver] = [
    path("", runs.run, name="run"),
    path("stop/", runs.stop, name="run_stop"),
    path("again/", runs.again, name="run_again"),
    path("file/", runs.file, name="run_file"),
]
_registries: list[URLPattern | URLResolver] = [
    path("", listing.index, name="registries"),
    path("selected/", selected.selected, name="entries_selected"),
    path("undo/", switching.undo, name="entries_undo"),
    path("export/", listing.export, name="entries_export"),
    path("export/run/", listing.export_run, name="entries_export_run"),
    path("import/", include(_import)),
    path("runs/<uuid:run_id>/", include(_runs)),
    path("new/", editing.new, name="entry_new"),
    path("check/", check.check, name="check"),
    path("help/", help.entry_help, name="entry_help"),
    path("<uuid:entry_id>/", include(_entry)),
]
_environments: list[URLPattern | URLResolver] = [
    path("", environments.index, name="environments"),
    path("new/", environments.new, name="environment_new"),
    path("<int:environment_id>/edit/", environments.edit, name="environment_edit"),
    path("<int:environment_id>/delete/", environments.delete, name="environment_delete"),
]
_workers: list[URLPattern | URLResolver] = [
    path("", workers.index, name="workers"),
    path("issue/", workers.issue, name="worker_token_issue"),
    path("<int:token_id>/revoke/", workers.revoke, name="worker_token_revoke"),
    path("setup/", workers.setup, name="worker_setup"),
]
_members: list[URLPattern | URLResolver] = [
    path("", members.index, name="members"),
    path("invite/", members.invite, name="invite"),
    path("leave/", members.leave, name="member_leave"),
    path("<int:membership_id>/", members.change, name="member_change"),
    path("<int:membership_id>/remove/", members.remove, name="member_remove"),
    path("invitations/<uuid:invitation_id>/again/", members.send_again, name="invitation_again"),
    path(
        "invitations/<uuid:invitation_id>/withdraw/", members.withdraw, name="invitation_withdraw"
    ),
]
_notices: list[URLPattern | URLResolver] = [
    path("", notices.notices, name="notices"),
    path("test/", notices.test, name="notices_test"),
    path("secret/", notices.secret, name="notices_secret"),
    path("remove/", notices.remove, name="notices_remove"),
]
_projects: list[URLPattern | URLResolver] = [
    path("", projects.index, name="projects"),
    path("new/", projects.new, name="project_new"),
    path("<uuid:project_id>/", projects.project, name="project"),
    path("<uuid:project_id>/rename/", projects.rename, name="project_rename"),
    path("<uuid:project_id>/move/", projects.move, name="project_move"),
    path("<uuid:project_id>/archive/", projects.archive, name="project_archive"),
    path("<uuid:project_id>/unarchive/", projects.unarchive, name="project_unarchive"),
]
# Those that django-allauth asks for by name have its names.
_two_step: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="account"), name="mfa_index"),
    path("code/", second_steps.SecondStep.as_view(), name="mfa_authenticate"),
    path("again/", second_steps.CodeAgain.as_view(), name="mfa_reauthenticate"),
    path("app/", second_steps.AddApp.as_view(), name="mfa_activate_totp"),
    path("app/remove/", second_steps.RemoveApp.as_view(), name="mfa_deactivate_totp"),
    path("codes/", second_steps.Codes.as_view(), name="mfa_view_recovery_codes"),
    path("codes/new/", second_steps.NewCodes.as_view(), name="mfa_generate_recovery_codes"),
]
_passkeys: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="account"), name="mfa_list_webauthn"),
    path("sign-in/", passkeys.PasskeyAlone.as_view(), name="mfa_login_webauthn"),
    path("again/", passkeys.PasskeyAgain.as_view(), name="mfa_reauthenticate_webauthn"),
    path("new/", passkeys.AddPasskey.as_view(), name="mfa_add_webauthn"),
    path("<int:pk>/rename/", passkeys.RenamePasskey.as_view(), name="mfa_edit_webauthn"),
    path("<int:pk>/remove/", passkeys.RemovePasskey.as_view(), name="mfa_remove_webauthn"),
]
_company: list[URLPattern | URLResolver] = [
    path("oidc/callback/", sso.callback, name="company_callback"),
    path("saml/acs/", sso.acs, name="company_acs"),
    path("saml/finish/", sso.finish, name="company_finish"),
    path("saml/metadata/", sso.saml_metadata, name="company_metadata"),
    path("<slug:kind>/", sso.start, name="company_start"),
    path("<int:pk>/disconnect/", sso.disconnect, name="company_disconnect"),
]
_account: list[URLPattern | URLResolver] = [
    path("", account.account, name="account"),
    path("login/", sign_in.SignIn.as_view(), name="account_login"),
    path("logout/", auth.LogoutView.as_view(), name="account_logout"),
    path("again/", sign_in.PasswordAgain.as_view(), name="account_reauthenticate"),
    path("forgotten/", forgotten.forgotten, name="password_forgotten"),
    path("name/", account.name, name="account_name"),
    path("time-zone/", account.time_zone, name="account_time_zone"),
    path("notices/", account.notices, name="account_notices"),
    path("email/", account.email, name="account_email_change"),
    path("email/show/", account.email_show, name="account_email_show"),
    path("email/<str:token>/", account.email_confirm, name="email_confirm"),
    path("password/", account.password, name="account_password"),
    path("password/<uidb64>/<token>/", sign_in.SetPassword.as_view(), name="set_password"),
    path("sessions/end/", account.sessions_end, name="sessions_end"),
    path("sessions/<int:key>/end/", account.sessions_end, name="session_end"),
    path("two-step/", include(_two_step)),
    path("passkeys/", include(_passkeys)),
    path("company/", include(_company)),
    path("projects/<uuid:project_id>/move/", projects.move_own, name="own_project_move"),
    path("tokens/", tokens.api_tokens, name="api_tokens"),
    path("tokens/<int:api_token_id>/revoke/", tokens.revoke, name="api_token_revoke"),
]
_programs = ("docker-credential-valohai", "valohai-credential-provider")
urlpatterns = [
    path("", views.home, name="home"),
    path("staff/", staff.overview, name="staff"),
    path("staff/identity/", staff.identity, name="staff_identity"),
    path("api/", api_reference.page, name="api_reference"),
    path("guide/", guide.index, name="guide_index"),
    path("guide/<slug:page>/", guide.page, name="guide"),
    path("healthz", probes.healthz, name="healthz"),
    path("livez", probes.livez, name="livez"),
    path("metrics", probes.metrics, name="metrics"),
    path(documents.DISCOVERY, identity.configuration, name="issuer_configuration"),
    path(documents.KEYS, identity.keys, name="issuer_keys"),
    path("accounts/", include(_account)),
    path("invitations/<str:token>/", invitations.invitation, name="invitation"),
    *(path(f"worker/{name}", workers.program, {"name": name}, name=name) for name in _programs),
    path("organizations/<slug:slug>/", overview.organization, name="organization"),
    path("organizations/<slug:slug>/rename/", settings.names, name="organization_rename"),
    path("organizations/<slug:slug>/policies/", settings.policies, name="policies"),
    path("organizations/<slug:slug>/identity/", organization_identity, name="identity"),
    path("organizations/<slug:slug>/notices/", include(_notices)),
    path("organizations/<slug:slug>/registries/", include(_registries)),
    path("organizations/<slug:slug>/projects/", include(_projects)),
    path("organizations/<slug:slug>/environments/", include(_environments)),
    path("organizations/<slug:slug>/workers/", include(_workers)),
    path("organizations/<slug:slug>/members/", include(_members)),
    path("organizations/<slug:slug>/audit/", audit.index, name="audit"),
    path("organizations/<slug:slug>/audit/export.csv", audit.export, name="audit_export"),
]

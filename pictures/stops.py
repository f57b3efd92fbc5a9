"""Every page, in the states that matter: where, as whom, and what to do there first.

The browser tests walk the same stops, and fail for an address that has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import BrowserContext, Page

from .cast import Cast
from .files import BAD_FILE, VALOHAI_YAML
from .hosts import HOST, IMAGE, SECRET

Do = Callable[[Page, Cast], None]


@dataclass(frozen=True)
class Stop:
    """A page: `address` is the name of one, or a path; `who` is "" for nobody.

    `chosen` are values for the address, by their name in the cast. `do` is done once
    it's open. One that is `alike` has another's markup with other words: it's taken to be
    looked at, and not walked.
    """

    name: str
    address: str
    who: str = "alice"
    query: str = ""
    chosen: dict[str, str] = field(default_factory=dict)
    do: Do | None = None
    status: int = 200
    alike: bool = False

    def path(self, cast: Cast) -> str:
        if self.address.startswith("/"):
            return self.address
        query = self.query.format(
            **{key: cast.arguments[key] for key in ("entry_id", "organization_id")}
        )
        return cast.address(self.address, **self.chosen) + query

    def go(self, page: Page, base: str, cast: Cast) -> None:
        """Open it; raises RuntimeError where the answer has another status."""
        answer = page.goto(base + self.path(cast))
        if answer is None or answer.status != self.status:
            raise RuntimeError(f"{self.name}: {answer and answer.status}, not {self.status}")

    def open(self, page: Page, base: str, cast: Cast) -> None:
        """Open it, and do what is to be done there."""
        self.go(page, base, cast)
        self.act(page, cast)

    def act(self, page: Page, cast: Cast) -> None:
        if self.do:
            self.do(page, cast)
            page.wait_for_load_state()


def sign_in(context: BrowserContext, base: str, cast: Cast, who: str) -> None:
    """Put someone's session into a browser; "" is nobody."""
    if who:
        cookie = {"name": "sessionid", "value": cast.sessions[who], "url": base}
        context.add_cookies([cookie])  # type: ignore[list-item]


def unfold(page: Page, _: Any = None) -> None:
    """Open all that is folded, but for menus, which cover what is below them."""
    page.evaluate(
        """() => document.querySelectorAll("details:not(.menu)").forEach((folded) => {
          folded.removeAttribute("name");  // of those that share one, only one is open
          folded.open = true;
        })"""
    )


# --- what is done at a stop -----------------------------------------------------


def fill_form(page: Page, cast: Cast) -> None:
    """The guide's example, with the help that follows it."""
    with page.expect_response("**/registries/help/"):
        page.get_by_label("Match pattern").fill(f"{HOST}/my-*/*")
    page.get_by_label("Access Key ID").fill(cast.named["key-id"])
    page.get_by_label("Secret Access Key").fill(SECRET)
    page.locator("#help-policy summary, #help-policy pre").first.wait_for()


def send_wrong_form(page: Page, cast: Cast) -> None:
    page.get_by_label("Match pattern").fill(f"{HOST}\n{HOST}/train:v1")
    page.get_by_label("Access Key ID").fill(SECRET)
    page.get_by_role("button", name="Save").last.click()
    page.locator(".errors, [role=alert]").first.wait_for()


def _choose(kind: str, label: str) -> Do:
    def do(page: Page, cast: Cast) -> None:
        # The help beside follows the type a moment later.
        with page.expect_response("**/registries/help/"):
            page.get_by_label("Registry type").select_option(kind)
        page.get_by_label(label, exact=True).wait_for()
        unfold(page)

    return do


def send_wrong_secret(page: Page, cast: Cast) -> None:
    """Another's secret for the same key: AWS says so at once."""
    page.get_by_label("Secret Access Key").fill(SECRET)
    page.get_by_role("button", name="Save").last.click()
    page.get_by_label("Use it anyway").wait_for()


def _press(button: str) -> Do:
    return lambda page, cast: page.get_by_role("button", name=button, exact=True).last.click()


def _open_some(page: Page, cast: Cast) -> None:
    """The filters and the newest few; all of them would make a scroll."""
    for folded in page.locator("main details > summary").all()[:5]:
        folded.click()


def _open_menu(page: Page, cast: Cast) -> None:
    page.locator("#menu > summary").click()


def _fail_to_sign_in(email: str) -> Do:
    def do(page: Page, cast: Cast) -> None:
        page.get_by_label("E-mail").fill(email)
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Sign in", exact=True).click()

    return do


def _wrong_code(page: Page, cast: Cast) -> None:
    page.get_by_label("Code").fill("000000")
    page.locator("main form button.primary").click()
    page.locator("#errors").wait_for()


def _wrong_account(page: Page, cast: Cast) -> None:
    page.get_by_role("button", name="Change the password").click()
    page.locator("#errors").wait_for()


def _ask_for_mfa(page: Page, cast: Cast) -> None:
    page.get_by_label("Org admins need two-step sign-in").check()
    page.get_by_role("button", name="Save").click()
    page.locator("#errors").wait_for()


def _check_yaml(page: Page, cast: Cast) -> None:
    page.get_by_label("Or paste it").fill(VALOHAI_YAML)
    page.get_by_role("button", name="Check the file").click()
    page.locator("#report").wait_for()


def _tick_two(page: Page, cast: Cast) -> None:
    for box in page.locator("input[name=entry]").all()[:2]:
        box.check()


def _delete_two(page: Page, cast: Cast) -> None:
    _tick_two(page, cast)
    page.get_by_role("button", name="Delete").click()
    page.locator("h1", has_text="Delete 2 entries?").wait_for()


def _select_what_changed(page: Page, cast: Cast) -> None:
    """As if others had added and deleted entries since the page was shown."""
    _tick_two(page, cast)
    page.get_by_label("Select all").last.check()
    page.locator("input[name=count]").evaluate("field => { field.value = 5003; }")
    page.get_by_role("button", name="Enable").click()
    page.locator("h1", has_text="Enable").wait_for()


def _issue(name: str) -> Do:
    def do(page: Page, cast: Cast) -> None:
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_role("button", name="Issue", exact=True).click()

    return do


def _invite_wrong(page: Page, cast: Cast) -> None:
    page.get_by_label("E-mails").fill("bob@example.com, ida@example.com\nnobody")
    page.get_by_role("button", name="Invite", exact=True).click()


def _leave(page: Page, cast: Cast) -> None:
    page.get_by_role("button", name="Leave Umbrella").click()


def _send_forged(page: Page, cast: Cast) -> None:
    page.context.clear_cookies(name="csrftoken")
    page.get_by_role("button", name="Save").last.click()


def _preview_in_admin(page: Page, cast: Cast) -> None:
    file = {"name": "entries.csv", "mimeType": "text/csv", "buffer": BAD_FILE.encode()}
    page.locator("input[type=file]").set_input_files(files=file)  # type: ignore[arg-type]
    page.get_by_role("button", name="Preview").click()


def _entry(name: str, who: str = "alice", do: Do | None = unfold, *, alike: bool = False) -> Stop:
    suffix = "" if name == "good" else f"-{name}"
    suffix += "" if who == "alice" else f"-{who}"
    return Stop(f"entry{suffix}", "entry", who, chosen={"entry_id": name}, do=do, alike=alike)


WRONG_LINK = {"token": "abc-def"}
UMBRELLA = {"slug": "umbrella"}
NO_IMAGE = "?image=999999999999.dkr.ecr.us-east-1.amazonaws.com/report"

WEB = (
    Stop("sign-in", "account_login", ""),
    Stop("sign-in-refused", "account_login", "", do=_fail_to_sign_in("nobody@example.com")),
    Stop("sign-in-paused", "account_login", "", do=_fail_to_sign_in("paused@example.com")),
    Stop("forgotten", "password_forgotten", ""),
    Stop("second-step", "mfa_authenticate", "tess-midway", do=_wrong_code),
    Stop("account", "account", "tess"),
    Stop("account-plain", "account", "bob"),
    Stop("account-wrong", "account", "erin", do=_wrong_account),
    Stop("email-confirm", "email_confirm", "bob", chosen={"token": "email-of-bob"}),
    Stop("email-confirm-over", "email_confirm", "bob", chosen=WRONG_LINK),
    Stop("password-again", "account_reauthenticate", "bob"),
    Stop("code-again", "mfa_reauthenticate", "tess"),
    Stop("app-add", "mfa_activate_totp", "bob", do=_wrong_code),
    Stop("app-remove", "mfa_deactivate_totp", "tess"),
    Stop("recovery-codes", "mfa_view_recovery_codes", "tess"),
    Stop("recovery-codes-new", "mfa_generate_recovery_codes", "tess"),
    Stop("passkey-add", "mfa_add_webauthn", "bob"),
    Stop("passkey-rename", "mfa_edit_webauthn", "tess"),
    Stop("passkey-remove", "mfa_remove_webauthn", "tess"),
    Stop("passkey-again", "mfa_reauthenticate_webauthn", "tess"),
    Stop("set-password", "set_password", "", chosen={"token": "token-of-dora"}),
    Stop("set-password-wrong", "set_password", "", do=_press("Set password"),
         chosen={"token": "token-of-dora"}),
    Stop("set-password-expired", "set_password", "", chosen=WRONG_LINK),
    Stop("home-several", "home", "nina"),
    Stop("home-none", "home", "dora"),
    Stop("overview", "organization"),
    Stop("overview-menu", "organization", do=_open_menu),
    Stop("overview-empty", "organization", "nina", chosen=UMBRELLA),
    Stop("overview-member", "organization", "bob"),
    Stop("overview-staff", "organization", "staff"),
    Stop("staff", "staff", "staff"),
    Stop("staff-identity", "staff_identity", "staff"),
    Stop("staff-found", "staff", "staff", query="?q=ni"),
    Stop("staff-found-entries", "staff", "staff", query="?q=123456789012"),
    Stop("staff-nothing-found", "staff", "staff", query="?q=nothing-like-it"),
    Stop("registries", "registries"),
    Stop("registries-member", "registries", "bob"),
    Stop("registries-empty", "registries", "nina", chosen=UMBRELLA),
    Stop("registries-selected", "registries", do=_tick_two),
    Stop("registries-filtered", "registries", query="?status=failing&sort=pattern", do=unfold),
    Stop("registries-waiting", "registries", query="?status=waiting", alike=True),
    Stop("registries-delete", "registries", do=_delete_two),
    Stop("registries-changed", "registries", do=_select_what_changed),
    Stop("registries-no-hits", "registries", query="?q=nothing-like-it"),
    _entry("good"),
    _entry("denied"),
    _entry("unreadable"),
    _entry("disabled"),
    _entry("role"),
    _entry("reported"),
    _entry("unverified"),
    _entry("docker"),
    _entry("several"),
    _entry("waits-aws", do=None),
    _entry("waits-aws", "bob", do=None, alike=True),
    _entry("waits-refused", do=None),
    _entry("waits-role", alike=True),
    _entry("waits-google", alike=True),
    _entry("waits-azure", alike=True),
    _entry("good", "bob"),
    _entry("good", "staff"),
    Stop("images", "entry_images"),
    Stop("images-of-one", "entry_images", query="?repository=my-ml-image"),
    Stop("images-denied", "entry_images", chosen={"entry_id": "denied"}),
    Stop("new", "entry_new"),
    Stop("new-filled", "entry_new", do=fill_form),
    Stop("new-errors", "entry_new", do=send_wrong_form),
    Stop("new-role", "entry_new", do=_choose("aws-ecr-role", "Role name")),
    Stop("new-aws-oidc", "entry_new", do=_choose("aws-ecr-oidc", "Role ARN")),
    Stop("new-aws-assume-role", "entry_new", do=_choose("aws-ecr-assume-role", "Role ARN"),
         alike=True),
    Stop("new-public", "entry_new", do=_choose("aws-ecr-public", "Access Key ID")),
    Stop("new-azure", "entry_new", do=_choose("azure-acr", "Tenant ID")),
    Stop("new-azure-oidc", "entry_new", do=_choose("azure-acr-oidc", "Tenant ID"),
         alike=True),
    Stop("new-gcp", "entry_new", do=_choose("gcp-cr", "Service account JSON")),
    Stop(
        "new-gcp-oidc", "entry_new", do=_choose("gcp-cr-oidc", "Workload identity provider"),
        alike=True,
    ),
    Stop("new-docker", "entry_new", do=_choose("docker", "Username")),
    Stop("new-copy", "entry_new", query="?copy={entry_id}"),
    Stop("edit", "entry_edit", do=unfold),
    Stop("edit-replace", "entry_edit", query="?replace=1"),
    Stop("edit-replace-failing", "entry_edit", query="?replace=1", do=send_wrong_secret),
    Stop("delete", "entry_delete"),
    Stop("check", "check"),
    Stop("check-served", "check", query=f"?image={IMAGE}"),
    Stop("check-none", "check", query=NO_IMAGE),
    Stop("check-none-member", "check", "bob", query=NO_IMAGE),
    Stop("check-wrong", "check", query=f"?image=https://{IMAGE}"),
    Stop("check-yaml", "check", do=_check_yaml),
    Stop("run", "run"),
    Stop("run-going", "run", "nina", chosen={"slug": "umbrella", "run_id": "run-going"}),
    Stop("import", "import"),
    Stop("import-none", "import", do=_press("Preview")),
    Stop("import-preview", "import_preview", chosen={"draft_id": "draft-good"}),
    Stop("import-errors", "import_preview", "erin", chosen={"draft_id": "draft-bad"}),
    Stop("rename", "organization_rename"),
    Stop("identity", "identity"),
    Stop("policies", "policies", do=_ask_for_mfa),
    Stop("notices", "notices", do=_press("Save")),
    Stop("notices-none", "notices", "nina", chosen=UMBRELLA),
    Stop("notices-remove", "notices_remove"),
    Stop("projects", "projects"),
    Stop("project", "project"),
    Stop("project-archived", "project", chosen={"project_id": "old-experiments-id"}),
    Stop("project-new", "project_new", do=_press("Save")),
    Stop("project-rename", "project_rename"),
    Stop("project-move", "project_move"),
    Stop("project-archive", "project_archive"),
    Stop("project-move-own", "own_project_move", "nina",
         chosen={"project_id": "nina-sandbox-id"}),
    Stop("members", "members"),
    Stop("members-member", "members", "bob"),
    Stop("invite", "invite"),
    Stop("invite-wrong", "invite", do=_invite_wrong),
    Stop("member-change", "member_change"),
    Stop("member-remove", "member_remove"),
    Stop("member-leave", "member_leave", "bob"),
    Stop("member-leave-last", "member_leave", "nina", do=_leave, chosen=UMBRELLA),
    Stop("invitation", "invitation", "dora", chosen={"token": "invitation-of-dora"}),
    Stop("invitation-of-another", "invitation", "nina", chosen={"token": "invitation-of-dora"}),
    Stop("invitation-new", "invitation", "", chosen={"token": "invitation-of-ida"},
         do=_press("Make my account and join")),
    Stop("invitation-over", "invitation", "", chosen={"token": "invitation-of-late"}, status=404),
    Stop("environments", "environments"),
    Stop("environment-new", "environment_new", do=_press("Save")),
    Stop("environment-edit", "environment_edit"),
    Stop("environment-delete", "environment_delete"),
    Stop("environment-in-use", "environment_delete", chosen={"environment_id": "gpu-id"}),
    Stop("workers", "workers"),
    Stop("workers-empty", "workers", "nina", chosen=UMBRELLA),
    Stop("worker-setup", "worker_setup"),
    Stop("worker-setup-open", "worker_setup", "bob", do=unfold),
    Stop("worker-token", "worker_token_issue"),
    Stop("worker-token-issued", "worker_token_issue", do=_issue("night shift")),
    Stop("worker-token-revoke", "worker_token_revoke"),
    Stop("audit", "audit", do=_open_some),
    Stop("api-tokens", "api_tokens"),
    Stop("api-token-issued", "api_tokens", "bob", do=_issue("report")),
    Stop("api-token-revoke", "api_token_revoke"),
    Stop("api", "api_reference", ""),
    Stop("guide", "guide_index", ""),
    Stop("guide-aws-ecr", "guide", "", chosen={"page": "aws-ecr"}),
    Stop("guide-passwords", "guide", "", chosen={"page": "passwords"}),
    Stop("guide-workers", "guide", "", chosen={"page": "workers"}),
    Stop("guide-scripts", "guide", "", chosen={"page": "scripts"}),
    Stop("guide-staff", "/guide/staff/", ""),
    Stop("guide-operations", "guide", "", chosen={"page": "operations"}),
    Stop("forbidden", "entry_new", "bob", status=403),
    Stop("missing", "/nothing/", status=404),
    Stop("not-sent", "entry_new", do=_send_forged),
)  # fmt: skip

# Addresses that answer with no page of their own: files, parts of pages, redirects.
NO_PAGES = {
    "healthz",
    "livez",
    "metrics",
    "issuer_configuration",
    "issuer_keys",
    "account_logout",
    "account_name",
    "account_time_zone",
    "account_notices",
    "notices_test",
    "notices_secret",
    "account_email_change",
    "account_email_show",
    "account_password",
    "sessions_end",
    "session_end",
    "mfa_index",
    "mfa_list_webauthn",
    "mfa_login_webauthn",
    # tests/browser/test_company.py walks these, where they are set
    "company_start",
    "company_callback",
    "company_acs",
    "company_finish",
    "company_metadata",
    "company_disconnect",
    "entries_selected",
    "entries_undo",
    "entries_export",
    "entries_export_run",
    "run_stop",
    "run_again",
    "run_file",
    "entry_help",
    "entry_verify",
    "invitation_again",
    "invitation_withdraw",
    "project_unarchive",
    "entry_enable",
    "entry_disable",
    "import_template",
    "import_errors",
    "audit_export",
    "docker-credential-valohai",
    "valohai-credential-provider",
}


def _admin(name: str, address: str, **rest: Any) -> Stop:
    whole = address if address.startswith("/") else f"admin:{address}"
    return Stop(f"admin-{name}", whole, "staff", **rest)


OF_GOOD = {"object_id": "good"}
OF_SPARE = {"object_id": "spare-id"}
OF_CLASSIFIER = {"object_id": "image-classifier-id"}
OF_BOB = {"object_id": "membership-of-bob"}

# Admin's addresses that answer with no page of their own, and those whose page is one of
# another's stops with other rows.
NO_ADMIN_PAGES = {
    *("login", "logout", "password_change", "password_change_done", "autocomplete", "jsi18n"),
    *("orgs_auditevent_add", "orgs_auditevent_delete", "auth_group_add", "auth_group_delete"),
    *("orgs_registryentry_verify", "orgs_user_password_link", "None"),
}
ALIKE = {
    f"{name}_history": "orgs_registryentry_history"
    for name in ("orgs_auditevent", "auth_group", "orgs_user", "orgs_organization",
                 "orgs_membership", "orgs_project", "orgs_environment")
}  # fmt: skip

ADMIN = (
    _admin("index", "index"),
    _admin("app", "/admin/orgs/"),
    _admin("organizations", "orgs_organization_changelist"),
    _admin("organization", "orgs_organization_change", chosen={"object_id": "acme-id"}),
    _admin("organization-new", "orgs_organization_add", do=_press("Save")),
    _admin("organization-delete", "orgs_organization_delete", chosen={"object_id": "acme-id"}),
    _admin("import", "orgs_organization_import"),
    _admin("import-errors", "orgs_organization_import", do=_preview_in_admin),
    _admin("import-preview", "orgs_organization_import_preview",
           chosen={"draft_id": "draft-staff"}),
    _admin("registries", "orgs_registryentry_changelist"),
    _admin("new-where", "orgs_registryentry_add"),
    _admin("new", "orgs_registryentry_add", query="?organization={organization_id}"),
    _admin("entry", "orgs_registryentry_change", chosen=OF_GOOD),
    _admin("entry-denied", "orgs_registryentry_change", chosen={"object_id": "denied"}),
    _admin("entry-waits", "orgs_registryentry_change", chosen={"object_id": "waits-aws"}),
    _admin("entry-history", "orgs_registryentry_history", chosen=OF_GOOD),
    _admin("entry-delete", "orgs_registryentry_delete", chosen=OF_GOOD),
    _admin("users", "orgs_user_changelist"),
    _admin("user", "orgs_user_change", chosen={"object_id": "bob"}),
    _admin("user-new", "orgs_user_add"),
    _admin("user-link", "orgs_user_change", chosen={"object_id": "bob"},
           do=_press("Make a password link")),
    _admin("user-delete", "orgs_user_delete", chosen={"object_id": "bob"}),
    _admin("groups", "auth_group_changelist"),
    _admin("group", "auth_group_change", chosen={"object_id": "support-id"}),
    _admin("projects", "orgs_project_changelist"),
    _admin("project-new", "orgs_project_add"),
    _admin("project", "orgs_project_change", chosen=OF_CLASSIFIER),
    _admin("project-delete", "orgs_project_delete", chosen=OF_CLASSIFIER),
    _admin("environments", "orgs_environment_changelist"),
    _admin("environment-new", "orgs_environment_add", do=_press("Save")),
    _admin("environment", "orgs_environment_change", chosen=OF_SPARE),
    _admin("environment-delete", "orgs_environment_delete", chosen=OF_SPARE),
    _admin("memberships", "orgs_membership_changelist"),
    _admin("membership-new", "orgs_membership_add", do=_press("Save")),
    _admin("membership", "orgs_membership_change", chosen=OF_BOB),
    _admin("membership-delete", "orgs_membership_delete", chosen=OF_BOB),
    _admin("audit", "orgs_auditevent_changelist"),
    _admin("audit-filtered", "orgs_auditevent_changelist",
           query="?action=login.refused&organization=acme"),
    _admin("audit-event", "orgs_auditevent_change", chosen={"object_id": "event-id"}),
)  # fmt: skip

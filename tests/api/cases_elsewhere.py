"""Which codes happen in tests of their own, and in which."""

from __future__ import annotations

import ast

from tests.support import PROJECT_ROOT

_VERIFYING = "services/verification/test_verifying.py"
_IMAGES = "services/verification/test_images.py"
_IMPORTING = "services/bulk/test_importing.py"
_FILES = "services/bulk/test_importing_files.py"
_TOKENS = "api/test_tokens.py"
_TROUBLE, _HELPER = "worker/test_server_trouble.py", "worker/test_docker_helper.py"
_OIDC = "web/accounts/test_oidc.py"
_ROLES = "worker/test_instance_role.py"
_STEPS = "web/accounts/test_second_steps.py"
_COMMANDS = "test_identity_commands.py"
_KEYLESS = "registries/test_aws_keyless_doors.py"
_NARROWED = "registries/test_aws_narrowed.py"
ELSEWHERE = {
    "issuer_unreachable": (
        "services/identity/test_copies.py::test_the_first_key_signs_once_it_is_there"
    ),
    "identity_refused": f"{_KEYLESS}::test_a_refusal_has_its_event_and_is_remembered_for_seconds",
    "external_id_not_enforced": f"{_KEYLESS}::test_a_role_that_stopped_asking_is_not_used",
    "needs_role": f"{_NARROWED}::test_narrowing_needs_a_role",
    "role_arn_shape": f"{_KEYLESS}::test_the_api",
    "key_coming": f"{_COMMANDS}::test_rotating_again_is_refused_while_one_waits",
    "invalid_issuer": f"{_COMMANDS}::test_a_server_that_is_no_issuer_has_no_keys",
    "link_over": "web/accounts/test_attacks.py::test_two_uses_of_one_link_set_one_password",
    "wrong_code": f"{_STEPS}::test_a_wrong_code_is_told",
    "codes_paused": f"{_STEPS}::test_codes_are_counted_in_the_database",
    "second_step_unreadable": f"{_STEPS}::test_a_lost_key_is_told",
    "wrong_passkey": "web/accounts/test_passkeys.py::test_a_wrong_answer",
    "no_mail": "web/accounts/test_account.py::test_without_mail_staff_change_it",
    "mfa_needed": "web/organizations/test_policies.py::test_their_api_tokens_are_refused",
    "no_personal_projects": "web/organizations/test_policies.py::test_no_new_ones",
    "one_login_a_host": f"{_HELPER}::test_config_for_docker_is_by_host",
    "login_refused": "web/test_every_error.py::test_the_registrys_step",
    "not_a_registry": "web/test_every_error.py::test_the_registrys_step",
    "redirected": "web/test_every_error.py::test_the_registrys_step",
    "hostile_realm": "web/test_every_error.py::test_the_registrys_step",
    "unsafe_address": "web/test_every_error.py::test_the_registrys_step",
    "image_denied": "registries/test_distribution.py::test_an_image_that_cant_be_read",
    "image_not_found": "registries/test_distribution.py::test_an_image_that_cant_be_read",
    "image_not_readable": f"{_VERIFYING}::test_a_registry_with_a_password",
    "listing_denied": "registries/test_aws_listing.py::test_no_policy_and_no_such_key",
    "entry_changed": f"{_VERIFYING}::test_a_change_meanwhile_is_not_written_over",
    "checked_on_workers": f"{_VERIFYING}::test_what_a_server_cannot_check_is_refused",
    "made_up": "services/demo/test_outside.py::test_verify_asks_nobody",
    "disabled": f"{_VERIFYING}::test_what_a_server_cannot_check_is_refused",
    "image_elsewhere": f"{_VERIFYING}::test_what_a_server_cannot_check_is_refused",
    "repository_shape": f"{_IMAGES}::test_what_is_not_the_entrys_isnt_asked_for",
    "too_many_wildcards": "services/entries/test_door.py::test_wildcards_at_one_place_are_limited",
    "owner_fixed": "api/test_credentials.py::test_an_entry_stays_with_its_owner",
    "not_text": f"{_FILES}::test_values_that_are_not_text",
    "ambiguous_entry": (
        f"{_IMPORTING}::test_which_of_several_disabled_entries_is_meant_cannot_be_told"
    ),
    "duplicate_row": f"{_IMPORTING}::test_duplicates_in_the_file",
    "needs_update": f"{_IMPORTING}::test_a_row_that_differs_needs_update_and_says_where",
    "not_a_boolean": f"{_IMPORTING}::test_a_row_tells_column_problem_and_fix",
    "field_of_other_type": f"{_IMPORTING}::test_a_row_tells_column_problem_and_fix",
    "duplicate_column": f"{_FILES}::test_tables_that_are_not",
    "unknown_column": f"{_FILES}::test_tables_that_are_not",
    "missing_column": f"{_FILES}::test_tables_that_are_not",
    "no_header": f"{_FILES}::test_tables_that_are_not",
    "wrong_encoding": f"{_FILES}::test_tables_that_are_not",
    "broken_quotes": f"{_FILES}::test_tables_that_are_not",
    "not_an_entry": f"{_FILES}::test_entries_that_are_not",
    "password_elsewhere": "services/bulk/test_docker_files.py::test_helpers_are_told",
    "too_deep": f"{_FILES}::test_documents_that_are_not",
    "not_a_list": f"{_FILES}::test_documents_that_are_not",
    "unreadable_file": f"{_FILES}::test_documents_that_are_not",
    "yaml_alias": f"{_FILES}::test_documents_that_are_not",
    "yaml_tag": f"{_FILES}::test_documents_that_are_not",
    "too_many_cells": f"{_FILES}::test_a_row_with_too_many_cells_says_so_and_is_read_no_further",
    "invalid_yaml": "services/bulk/test_yaml_check.py::test_what_is_refused_and_at_which_line",
    "too_many_rows": f"{_IMPORTING}::test_more_rows_than_asked_for_are_refused",
    "too_many_places": f"{_IMPORTING}::test_patterns_count_once_for_each_environment",
    "too_many_errors": (
        f"{_IMPORTING}::test_after_very_many_errors_the_rest_is_not_looked_at"
    ),
    "changed_meanwhile": f"{_IMPORTING}::test_what_was_planned_is_what_is_done_or_nothing",
    "not_a_member": f"{_TOKENS}::test_scopes_that_are_not_theirs",
    "two_reaches": f"{_TOKENS}::test_scopes_that_are_not_theirs",
    "invalid_name": f"{_TOKENS}::test_what_is_refused",
    "invalid_expiry": f"{_TOKENS}::test_what_is_refused",
    "formula_error": "services/bulk/test_workbook.py::test_cells_that_have_no_text",
    "unsupported_source": f"{_ROLES}::test_other_sources_of_credentials_are_named",
    "botocore_missing": f"{_ROLES}::test_without_botocore",
    "server_unreachable": f"{_TROUBLE}::test_a_dead_server",
    "server_untrusted": f"{_TROUBLE}::test_a_private_authority_behind_a_proxy",
    "answer_refused": f"{_TROUBLE}::test_altered_answers_are_refused",
    "not_configured": f"{_HELPER}::test_what_is_missing_is_named",
    "not_implemented": f"{_HELPER}::test_store_validates_then_declines",
    "company_cancelled": f"{_OIDC}::test_who_breaks_it_off_is_told_so",
    "company_away": f"{_OIDC}::test_a_provider_that_is_away_is_told",
    "company_wrong_answer": f"{_OIDC}::refused",
    "company_no_email": f"{_OIDC}::test_addresses_that_are_none",
    "company_unverified": f"{_OIDC}::test_an_unverified_address_leads_to_nobody",
    "company_account_unverified": (
        f"{_OIDC}::test_an_account_of_an_unverified_address_is_left_alone"
    ),
    "company_other_account": f"{_OIDC}::test_an_address_given_to_somebody_else_isnt_the_account",
    "company_not_invited": f"{_OIDC}::test_nobody_else_comes_in",
    "only_way_in": f"{_OIDC}::test_ones_account_has_it_and_may_end_it",
    "internal_error": "worker/test_program.py::test_an_unforeseen_error_is_told_in_a_line",
}  # fmt: skip


def source(node_id: str) -> str:
    """A test's own lines, its parameters included; "" where there is no such test."""
    path, _, name = node_id.partition("::")
    text = (PROJECT_ROOT / "tests" / path).read_text()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    return ""
